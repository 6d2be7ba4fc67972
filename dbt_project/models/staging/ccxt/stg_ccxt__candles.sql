select
    c.venue,
    c.symbol,
    c.open_time as raw_ms,
    {{ from_ms('c.open_time') }} as opened_at,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    {{ fact_of_venue('ccxt', 'candles', 'unit_of_volume', 'c.venue') }} as raw_volume_unit,
    c._observed_at as loaded_at
from {{ source('ccxt', 'candles') }} as c
