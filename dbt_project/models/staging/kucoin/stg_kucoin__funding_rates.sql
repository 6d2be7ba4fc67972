select
    symbol,
    timepoint as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source('kucoin', 'funding_rates') }}
