select
    c.venue,
    c.symbol,
    c.open_time as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    {{ fact_about_venue(source_name='ccxt', dataset='candles', fact='unit_of_volume', venue='c.venue') }} as raw_volume_unit,
    c._observed_at
from {{ source('ccxt', 'candles') }} as c
