-- Time, coin and `tid` together are the venue's id of a trade. A trade with a party that was auto-deleveraged passes on what a liquidation
-- before it took over.
select
    coin as symbol,
    concat_ws(':', "time", tid) as event_id,
    "time" as raw_ms,
    case side when 'A' then 'sell' when 'B' then 'buy' else side end as raw_side,
    px as price,
    sz as raw_size,
    'listed_base' as raw_unit,
    _observed_at
from {{ source('hyperliquid_fills', 'liquidations') }}
where not is_adl
