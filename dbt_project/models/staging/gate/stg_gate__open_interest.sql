select
    symbol,
    "time" as raw_ms,
    {{ from_ms('"time"') }} as stamp,
    {{ hour_of('"time"') }} as observed_at,
    open_interest as raw_value,
    'open_interest' as raw_field,
    'contracts' as raw_unit,
    open_interest_usd as venue_usd,
    mark_price,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('gate', 'open_interest') }}
where open_interest > 0
