select
    symbol,
    uid as event_id,
    "timestamp" as raw_ms,
    direction as raw_side,
    price,
    quantity as raw_size,
    'listed_base' as raw_unit,
    usd_value as venue_usd,
    _observed_at
from {{ source('kraken_futures', 'liquidations') }}
