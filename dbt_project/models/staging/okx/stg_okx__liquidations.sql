-- The venue gives no name to an event: what makes it one.
select
    symbol,
    concat_ws(':', ts, side, sz, bk_px) as event_id,
    ts as raw_ms,
    side as raw_side,
    bk_px as price,
    sz as raw_size,
    'contracts' as raw_unit,
    _observed_at
from {{ source('okx', 'liquidations') }}
