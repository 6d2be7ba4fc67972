-- A factor is what a side receives: where the longs' factor is not positive, longs pay it; else shorts pay theirs, and the rate is negative.
select
    symbol,
    "time" as raw_ms,
    case when funding_factor_per_second_long <= 0 then 0 - funding_factor_per_second_long else funding_factor_per_second_short end as raw_rate,
    'fraction_per_second_1e30' as raw_unit,
    1.0::double as stated_interval_hours,
    _observed_at
from {{ source('gmx', 'funding_rates') }}
