-- USDT, USDC or BUSD; `_SETTLED` and a number stand after the name of a contract that was settled and listed again.
{{ archive_instruments(
    source_name='binance_usdm_archive', pattern='^(.+?)(USDT|USDC|BUSD)(?:_?SETTLED[0-9]*)?$', settle='name.quote_asset', contract_size='1'
) }}
