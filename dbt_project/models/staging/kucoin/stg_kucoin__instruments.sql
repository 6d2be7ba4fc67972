-- A negative multiplier means dollars in a lot (inverse). `isQuanto` is true of contracts that settle in their quote.
select
    symbol,
    base_currency as listed_asset,
    quote_currency as quote_asset,
    settle_currency as settle_asset,
    nullif(abs(c.multiplier), 0) as contract_size,
    {{ fact_about_venue(source_name='kucoin', dataset='instruments', fact='underlying_class', venue="'kucoin'") }} as underlying_class,
    funding_rate_granularity / 3600000 as funding_interval_hours,
    case status when 'Open' then 'trading' when 'Closed' then 'delisted' else 'halted' end as status,
    {{ from_ms('nullif(first_open_date, 0)') }} as listed_at,
    _observed_at as observed_at
from {{ source('kucoin', 'instruments') }} as c
where type = 'FFWCSX'
