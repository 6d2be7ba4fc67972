select
    product_id as symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    open_interest as raw_value,
    'open_interest' as raw_field,
    'contracts' as raw_unit,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source('coinbase', 'instruments') }}
where funding_interval is not null and open_interest > 0
