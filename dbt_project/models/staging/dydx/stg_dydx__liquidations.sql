select
    ticker as symbol,
    trade_id as event_id,
    created_at as raw_ms,
    side as raw_side,
    price,
    size as raw_size,
    'listed_base' as raw_unit,
    _observed_at
from {{ source('dydx', 'liquidations_stream') }}
