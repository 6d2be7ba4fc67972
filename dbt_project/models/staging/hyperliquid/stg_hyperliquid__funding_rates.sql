select
    coin as symbol,
    "time" as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source('hyperliquid', 'funding_rates') }}
