select
    symbol,
    funding_time as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source('okx_archive', 'funding_rates') }}
