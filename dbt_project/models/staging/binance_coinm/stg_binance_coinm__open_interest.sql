-- The stamp is the end of the period. Asked by pair: the symbol is the question's. The value beside it is in coins, no USD.
select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ hour_of('"timestamp"') }} as observed_at,
    sum_open_interest as raw_value,
    'sumOpenInterest' as raw_field,
    'contracts' as raw_unit,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('binance_coinm', 'open_interest') }}
where sum_open_interest > 0 and contract_type = 'PERPETUAL'
