-- USDT, or USDC where the name ends with PERP.
{{ archive_instruments(
    source_name='bybit_linear_archive', pattern='^(.+?)(USDT|PERP)$', settle="case when name.quote_asset = 'PERP' then 'USDC' else 'USDT' end",
    quote="case when name.quote_asset = 'PERP' then 'USDC' else 'USDT' end", contract_size='1'
) }}
