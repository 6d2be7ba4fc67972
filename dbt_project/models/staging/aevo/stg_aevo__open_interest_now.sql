select
    symbol,
    open_interest as raw_value,
    'open_interest.total' as raw_field,
    'listed_base' as raw_unit,
    mark_price,
    _observed_at
from {{ source('aevo', 'statistics') }}
