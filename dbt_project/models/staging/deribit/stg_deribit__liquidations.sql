-- The order of a liquidated taker is the trade's direction, that of a liquidated maker its opposite; where both were liquidated, the trade
-- is two events. Of inverse perpetuals, which are those without a quote currency in their name, the amount is in USD.
select
    instrument_name as symbol,
    trade_id || role as event_id,
    "timestamp" as raw_ms,
    case when (direction = 'sell') = (role = 'T') then 'long' else 'short' end as raw_side,
    price,
    amount as raw_size,
    case when instrument_name like '%\_%' escape '\' then 'listed_base' else 'quote' end as raw_unit,
    _observed_at
from (select *, unnest(string_split(liquidation, '')) as role from {{ source('deribit', 'liquidations_stream') }})
where instrument_name like '%-PERPETUAL'
