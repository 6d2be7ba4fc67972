select
    symbol,
    "time" as raw_ms,
    open_interest as raw_value,
    'open_interest' as raw_field,
    'contracts' as raw_unit,
    open_interest_usd as venue_usd,
    mark_price,
    _observed_at
from {{ source('gate', 'open_interest') }}
where open_interest > 0
