-- Both ids are called that of the matched trade; that they are the same is documented nowhere, so `heard_as` holds without it.
select
    symbol,
    uid as event_id,
    "timestamp" as raw_ms,
    direction as raw_side,
    price,
    quantity as raw_size,
    'listed_base' as raw_unit,
    usd_value as venue_usd,
    symbol as heard_as,
    _observed_at
from {{ source('kraken_futures', 'liquidations') }}
union all
select
    product_id as symbol,
    uid as event_id,
    "time" as raw_ms,
    side as raw_side,
    price,
    qty as raw_size,
    'listed_base' as raw_unit,
    null as venue_usd,
    null as heard_as,
    _observed_at
from {{ source('kraken_futures', 'liquidations_stream') }}
where product_id like 'PF\_%' escape '\'
