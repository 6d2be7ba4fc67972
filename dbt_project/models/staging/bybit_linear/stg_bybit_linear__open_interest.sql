-- `openInterest` counts both sides, `singleOpenInterest` (newer) one.
select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ hour_of('"timestamp"') }} as observed_at,
    coalesce(single_open_interest, open_interest) as raw_value,
    case when single_open_interest is null then 'openInterest' else 'singleOpenInterest' end as raw_field,
    'listed_base' as raw_unit,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('bybit_linear', 'open_interest') }}
where coalesce(single_open_interest, open_interest) > 0
