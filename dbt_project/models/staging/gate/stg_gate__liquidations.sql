-- The venue gives no name to an event: what makes it one, and its number among equals. What was not filled is not counted.
select
    symbol,
    concat_ws(':', "time", size, order_size, fill_price, "left", nullif(nth, 0)) as event_id,
    "time" as raw_ms,
    case when size > 0 then 'buy' else 'sell' end as raw_side,
    fill_price as price,
    coalesce(nullif(abs(order_size), 0), abs(size)) - abs("left") as raw_size,
    'contracts' as raw_unit,
    _observed_at
from {{ source('gate', 'liquidations') }}
where raw_size > 0
