select
    symbol,
    open_time as raw_ms,
    {{ from_ms('open_time') }} as opened_at,
    open,
    high,
    low,
    close,
    volume as raw_volume,
    'contracts' as raw_volume_unit,
    _observed_at as loaded_at
from {{ source('kucoin', 'candles') }}
