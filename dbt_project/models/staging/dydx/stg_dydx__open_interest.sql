-- Open interest as it was when the bar began.
select
    ticker as symbol,
    started_at as raw_ms,
    {{ from_ms('started_at') }} as stamp,
    {{ hour_of('started_at') }} as observed_at,
    starting_open_interest as raw_value,
    'startingOpenInterest' as raw_field,
    'listed_base' as raw_unit,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('dydx', 'candles') }}
where starting_open_interest > 0
