-- Factors are what a side receives: where longs do not, they pay theirs; else shorts pay theirs, and the rate is negative.
select
    symbol,
    "time" as raw_ms,
    {{ from_ms('"time"') }} as stamp,
    {{ on_grid('"time"') }} as settled_at,
    case when funding_factor_per_second_long <= 0 then 0 - funding_factor_per_second_long else funding_factor_per_second_short end as raw_rate,
    'fraction_per_second_1e30' as raw_unit,
    raw_rate * 3600 / 1e30 as rate_interval,
    1.0::double as stated_interval_hours,
    _observed_at as loaded_at
from {{ source('gmx', 'funding_rates') }}
