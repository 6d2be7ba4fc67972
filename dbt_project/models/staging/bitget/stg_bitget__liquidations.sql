-- The venue gives no name to an event: what makes it one.
select
    symbol,
    concat_ws(':', ts, side, price, amount) as event_id,
    ts as raw_ms,
    {{ from_ms('ts') }} as liquidated_at,
    lower(side) as raw_side,
    price,
    amount as raw_size,
    {{ fact_of_venue('bitget', 'liquidations', 'unit_of_amount', "'bitget'") }} as raw_unit,
    _observed_at as loaded_at
from {{ source('bitget', 'liquidations') }}
