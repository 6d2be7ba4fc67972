-- What each hour came to, stamped with its end; `interest_8h` is the sum of eight hours and counts seven of them again.
select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ on_grid('"timestamp"') }} as settled_at,
    interest_1h as raw_rate,
    'fraction_per_interval' as raw_unit,
    interest_1h as rate_interval,
    _observed_at as loaded_at
from {{ source('deribit', 'funding_rates') }}
