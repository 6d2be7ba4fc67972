-- No turnover: volume is in the base coin.
select
    c.symbol,
    c."time" as raw_ms,
    {{ from_ms('c."time"') }} as opened_at,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    'listed_base' as raw_volume_unit,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at as loaded_at
from {{ source('kraken_futures', 'candles') }} as c
left join {{ source('kraken_futures', 'mark_candles') }} as m using (symbol, "time")
left join {{ source('kraken_futures', 'index_candles') }} as x using (symbol, "time")
