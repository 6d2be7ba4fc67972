-- How many dollars a contract is isn't stated: 100 of BTC, 10 of the others (unverified), as today.
{{ archive_instruments(
    source_name='binance_coinm_archive', pattern='^(.+?)(USD)_PERP(?:_?SETTLED[0-9]*)?$', settle='name.listed_asset',
    contract_size="case when name.listed_asset = 'BTC' then 100 else 10 end"
) }}
