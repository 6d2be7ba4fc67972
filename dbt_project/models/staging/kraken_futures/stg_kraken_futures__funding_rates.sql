-- `relativeFundingRate` is the fraction that is charged; `fundingRate` is absolute, in USD per contract.
select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ on_grid('"timestamp"') }} as settled_at,
    relative_funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    relative_funding_rate as rate_interval,
    _observed_at as loaded_at
from {{ source('kraken_futures', 'funding_rates') }}
