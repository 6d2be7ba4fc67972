select
    symbol,
    "time" as raw_ms,
    open_interest as raw_value,
    'open_interest' as raw_field,
    'contracts' as raw_unit,
    nullif(open_interest_usd, 0) as venue_usd,
    mark_price,
    _observed_at
from {{ source('gate', 'open_interest') }}
