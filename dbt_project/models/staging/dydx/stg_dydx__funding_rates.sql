-- `price` is the oracle's, which is the mark here.
select
    ticker as symbol,
    effective_at as raw_ms,
    rate as raw_rate,
    price as mark_price,
    _observed_at
from {{ source('dydx', 'funding_rates') }}
