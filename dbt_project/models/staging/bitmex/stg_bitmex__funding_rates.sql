select
    symbol,
    "timestamp" as raw_ms,
    funding_rate as raw_rate,
    -- eight hours are `2000-01-01T08:00:00.000Z`
    hour(try_cast(rtrim(funding_interval, 'Z') as timestamp))::double as stated_interval_hours,
    _observed_at
from {{ source('bitmex', 'funding_rates') }}
