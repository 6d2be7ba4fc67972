-- The stamp is the end of the period. Asked by pair: the symbol is the question's. The value beside it is in coins, no USD.
select
    symbol,
    "timestamp" as raw_ms,
    sum_open_interest as raw_value,
    'sumOpenInterest' as raw_field,
    'contracts' as raw_unit,
    _observed_at
from {{ source('binance_coinm', 'open_interest') }}
where contract_type = 'PERPETUAL'
