-- Of the analytics bar, `open` is the instant of the stamp (unverified).
select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ hour_of('"timestamp"') }} as observed_at,
    open as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('kraken_futures', 'open_interest') }}
where open > 0
