select
    symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    coalesce(single_open_interest, open_interest) as raw_value,
    case when single_open_interest is null then 'openInterest' else 'singleOpenInterest' end as raw_field,
    'listed_base' as raw_unit,
    mark_price,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source('bybit_linear', 'tickers') }}
where coalesce(single_open_interest, open_interest) > 0
