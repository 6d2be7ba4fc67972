select
    c.symbol,
    c.open_time as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    'listed_base' as raw_volume_unit,
    c.quote_volume,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at
from {{ source('bitget', 'candles') }} as c
{{ join_price_bars(source_name='bitget', time='open_time') }}
