select
    c.symbol,
    c."time" as raw_ms,
    {{ from_ms('c."time"') }} as opened_at,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    'contracts' as raw_volume_unit,
    c.turnover as quote_volume,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at as loaded_at
from {{ source('gate', 'candles') }} as c
left join {{ source('gate', 'mark_candles') }} as m using (symbol, "time")
left join {{ source('gate', 'index_candles') }} as x using (symbol, "time")
