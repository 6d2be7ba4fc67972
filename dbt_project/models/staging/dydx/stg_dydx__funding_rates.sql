-- `price` is the oracle's, which is the mark here.
select
    ticker as symbol,
    effective_at as raw_ms,
    {{ from_ms('effective_at') }} as stamp,
    {{ on_grid('effective_at') }} as settled_at,
    rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    rate as rate_interval,
    price as mark_price,
    _observed_at as loaded_at
from {{ source('dydx', 'funding_rates') }}
