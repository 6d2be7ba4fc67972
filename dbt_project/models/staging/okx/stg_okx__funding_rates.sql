-- `fundingRate` is what was forecast, `realizedRate` what was charged.
select
    symbol,
    funding_time as raw_ms,
    realized_rate as raw_rate,
    _observed_at
from {{ source('okx', 'funding_rates') }}
