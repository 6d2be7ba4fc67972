-- The base stands before the first comma (what follows tells the pool that prices it) or the quote; no listing time is stated.
select
    ticker as symbol,
    coin as listed_asset,
    {{ base_asset('coin') }} as base_asset,
    {{ multiplier('coin') }} as multiplier,
    'USD' as quote_asset,
    'USDC' as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    'crypto' as underlying_class,
    fixed.value::double as funding_interval_hours,
    case status when 'ACTIVE' then 'trading' when 'FINAL_SETTLEMENT' then 'delisted' else 'halted' end as status,
    _observed_at as observed_at
from (
    select 'dydx' as source, regexp_extract(ticker, '^(.*?)(,.*)?-USD$', 1) as coin, *
    from {{ source('dydx', 'instruments') }}
) as i
{{ join_fact('fixed', 'i', 'funding_rates', "'fixed_interval_hours'", 'i._observed_at') }}
