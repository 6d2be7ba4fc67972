-- Volume in coins and cost in quote currency, of inverse perpetuals too; no bars of mark or index.
select
    symbol,
    tick as raw_ms,
    open,
    high,
    low,
    close,
    volume as raw_volume,
    'base' as raw_volume_unit,
    cost as quote_volume,
    _observed_at
from {{ source('deribit', 'candles') }}
