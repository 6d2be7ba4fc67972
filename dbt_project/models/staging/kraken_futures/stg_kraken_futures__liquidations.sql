select
    symbol,
    uid as event_id,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as liquidated_at,
    lower(direction) as raw_side,
    price,
    quantity as raw_size,
    'listed_base' as raw_unit,
    usd_value as venue_usd,
    _observed_at as loaded_at
from {{ source('kraken_futures', 'liquidations') }}
