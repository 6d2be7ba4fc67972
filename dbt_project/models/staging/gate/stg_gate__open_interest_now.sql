select
    name as symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    position_size as raw_value,
    'position_size' as raw_field,
    'contracts' as raw_unit,
    mark_price,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source('gate', 'instruments') }}
where type = 'direct' and position_size > 0
