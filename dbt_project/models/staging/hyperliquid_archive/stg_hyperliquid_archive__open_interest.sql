select
    coin as symbol,
    "time" as raw_ms,
    {{ from_ms('"time"') }} as stamp,
    {{ hour_of('"time"') }} as observed_at,
    open_interest as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    mark_px as mark_price,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('hyperliquid_archive', 'asset_ctxs') }}
where open_interest > 0
