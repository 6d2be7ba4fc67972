-- The ticker is the coin, then optionally a comma and the pool that prices it, then `-USD`. No listing time is stated.
select
    ticker as symbol,
    regexp_extract(ticker, '^(.*?)(,.*)?-USD$', 1) as listed_asset,
    'USD' as quote_asset,
    'USDC' as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    {{ fact_about_venue(source_name='dydx', dataset='instruments', fact='underlying_class', venue="'dydx'") }} as underlying_class,
    case status when 'ACTIVE' then 'trading' when 'FINAL_SETTLEMENT' then 'delisted' else 'halted' end as status,
    _observed_at as observed_at
from {{ source('dydx', 'instruments') }}
