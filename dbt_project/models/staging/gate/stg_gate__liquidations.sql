-- The venue gives no name to an event: what makes it one, and its number among equals. What was not filled of a row of the list is not
-- counted; the stream has seconds as milliseconds, the order's size and one price, so that its rows can't be matched with those of the list.
select
    symbol,
    concat_ws(':', "time", size, order_size, fill_price, "left", nullif(nth, 0)) as event_id,
    "time" as raw_ms,
    case when size > 0 then 'buy' else 'sell' end as raw_side,
    fill_price as price,
    coalesce(nullif(abs(order_size), 0), abs(size)) - abs("left") as raw_size,
    'contracts' as raw_unit,
    '' as heard_as,
    null as facts_of,
    _observed_at
from {{ source('gate', 'liquidations') }}
where raw_size > 0
union all
select
    contract as symbol,
    concat_ws(':', "time", size, price, nullif(nth, 0)) as event_id,
    "time" as raw_ms,
    case when size > 0 then 'buy' else 'sell' end as raw_side,
    price,
    abs(size) as raw_size,
    'contracts' as raw_unit,
    null as heard_as,
    'stream' as facts_of,
    _observed_at
from {{ source('gate', 'liquidations_stream') }}
where size != 0
