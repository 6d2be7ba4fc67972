select
    symbol,
    "time" as raw_ms,
    {{ from_ms('"time"') }} as stamp,
    {{ on_grid('"time"') }} as settled_at,
    rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    rate as rate_interval,
    _observed_at as loaded_at
from {{ source('gate', 'funding_rates') }}
