select
    symbol,
    "time" as raw_ms,
    {{ from_ms('"time"') }} as opened_at,
    open,
    high,
    low,
    close,
    volume as raw_volume,
    'contracts' as raw_volume_unit,
    _observed_at as loaded_at
from {{ source('coinbase', 'candles') }}
