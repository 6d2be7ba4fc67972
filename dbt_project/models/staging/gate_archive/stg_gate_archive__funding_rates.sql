select
    symbol,
    "time" as raw_ms,
    rate as raw_rate,
    _observed_at
from {{ source('gate_archive', 'funding_rates') }}
