select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ on_grid('"timestamp"') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    -- eight hours are `2000-01-01T08:00:00.000Z`
    hour(try_cast(rtrim(funding_interval, 'Z') as timestamp))::double as stated_interval_hours,
    _observed_at as loaded_at
from {{ source('bitmex', 'funding_rates') }}
