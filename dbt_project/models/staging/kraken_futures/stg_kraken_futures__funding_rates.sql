-- `relativeFundingRate` is the fraction that is charged; `fundingRate` is absolute, in USD per contract.
select
    symbol,
    "timestamp" as raw_ms,
    relative_funding_rate as raw_rate,
    _observed_at
from {{ source('kraken_futures', 'funding_rates') }}
