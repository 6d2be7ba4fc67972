select
    name as symbol,
    position_size as raw_value,
    'position_size' as raw_field,
    'contracts' as raw_unit,
    mark_price,
    _observed_at
from {{ listed('gate') }}
where type = 'direct'
