select
    symbol,
    "time" as raw_ms,
    open,
    high,
    low,
    close,
    volume as raw_volume,
    'contracts' as raw_volume_unit,
    _observed_at
from {{ source('coinbase', 'candles') }}
