-- The estimate for the hour that ends next; the oracle price is mark and index in one.
select
    ticker as symbol,
    _observed_at as observed_at,
    next_funding_rate as raw_rate,
    date_trunc('hour', _observed_at) + interval 1 hour as next_settlement_at,
    oracle_price as mark_price,
    oracle_price as index_price
from {{ listed('dydx') }}
where next_funding_rate is not null
