-- What each hour came to, stamped with its end; `interest_8h` is the sum of eight hours and counts seven of them again.
select
    symbol,
    "timestamp" as raw_ms,
    interest_1h as raw_rate,
    _observed_at
from {{ source('deribit', 'funding_rates') }}
