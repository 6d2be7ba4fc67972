select
    coin as symbol,
    open_interest as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    mark_px as mark_price,
    _observed_at
from {{ source('hyperliquid', 'contexts') }}
