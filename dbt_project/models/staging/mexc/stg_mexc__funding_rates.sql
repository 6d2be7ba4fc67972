select
    symbol,
    settle_time as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source('mexc', 'funding_rates') }}
