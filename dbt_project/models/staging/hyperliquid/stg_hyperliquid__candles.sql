-- The venue gives neither turnover nor mark and index bars.
select
    coin as symbol,
    open_time as raw_ms,
    open,
    high,
    low,
    close,
    volume as raw_volume,
    'listed_base' as raw_volume_unit,
    trades,
    _observed_at
from {{ source('hyperliquid', 'candles') }}
