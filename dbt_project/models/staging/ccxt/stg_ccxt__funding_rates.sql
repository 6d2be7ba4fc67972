select
    venue,
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ on_grid('"timestamp"') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    _observed_at as loaded_at
from {{ source('ccxt', 'funding_rates') }}
