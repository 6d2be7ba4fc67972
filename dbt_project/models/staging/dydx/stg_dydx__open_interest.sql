-- Open interest as it was when the bar began.
select
    ticker as symbol,
    started_at as raw_ms,
    starting_open_interest as raw_value,
    'startingOpenInterest' as raw_field,
    'listed_base' as raw_unit,
    _observed_at
from {{ source('dydx', 'candles') }}
