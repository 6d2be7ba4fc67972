select
    venue,
    symbol,
    "timestamp" as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source('ccxt', 'funding_rates') }}
