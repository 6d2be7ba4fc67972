-- No turnover: volume is in the base coin.
select
    c.symbol,
    c."time" as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    'listed_base' as raw_volume_unit,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at
from {{ source('kraken_futures', 'candles') }} as c
{{ join_price_bars(source_name='kraken_futures', time='"time"') }}
