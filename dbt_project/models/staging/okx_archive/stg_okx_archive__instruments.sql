-- How many coins or dollars a contract is isn't stated; sizes of bars come in coins and in quote currency, too.
{{ archive_instruments(
    source_name='okx_archive', pattern='^(.+)-(USDT|USDC|USD)-SWAP$', settle="case name.quote_asset when 'USD' then name.listed_asset else name.quote_asset end",
    contract_size='null'
) }}
