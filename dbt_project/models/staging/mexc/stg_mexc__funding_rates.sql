select
    symbol,
    settle_time as raw_ms,
    {{ from_ms('settle_time') }} as stamp,
    {{ on_grid('settle_time') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    _observed_at as loaded_at
from {{ source('mexc', 'funding_rates') }}
