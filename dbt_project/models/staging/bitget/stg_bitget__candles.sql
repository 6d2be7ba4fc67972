select
    c.symbol,
    c.open_time as raw_ms,
    {{ from_ms('c.open_time') }} as opened_at,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    'listed_base' as raw_volume_unit,
    c.quote_volume,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at as loaded_at
from {{ source('bitget', 'candles') }} as c
left join {{ source('bitget', 'mark_candles') }} as m using (symbol, open_time)
left join {{ source('bitget', 'index_candles') }} as x using (symbol, open_time)
