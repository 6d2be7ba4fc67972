select
    symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    open_interest as raw_value,
    'open_interest.total' as raw_field,
    'listed_base' as raw_unit,
    mark_price,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source('aevo', 'statistics') }}
where open_interest > 0
