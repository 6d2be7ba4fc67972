-- The stamp is the end of the period.
select
    symbol,
    "timestamp" as raw_ms,
    sum_open_interest as raw_value,
    'sumOpenInterest' as raw_field,
    'listed_base' as raw_unit,
    nullif(sum_open_interest_value, 0) as venue_usd,
    _observed_at
from {{ source('binance_usdm', 'open_interest') }}
