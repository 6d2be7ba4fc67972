select
    c.symbol,
    c."time" as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    'contracts' as raw_volume_unit,
    c.turnover as quote_volume,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at
from {{ source('gate', 'candles') }} as c
{{ join_price_bars(source_name='gate', time='"time"') }}
