-- No bars of the oracle price.
select
    ticker as symbol,
    started_at as raw_ms,
    open,
    high,
    low,
    close,
    base_token_volume as raw_volume,
    'listed_base' as raw_volume_unit,
    usd_volume as quote_volume,
    trades,
    _observed_at
from {{ source('dydx', 'candles') }}
