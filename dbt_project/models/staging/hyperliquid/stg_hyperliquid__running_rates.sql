select
    coin as symbol,
    _observed_at as observed_at,
    funding as raw_rate,
    date_trunc('hour', _observed_at) + interval 1 hour as next_settlement_at,
    mark_px as mark_price,
    oracle_px as index_price
from {{ source('hyperliquid', 'contexts') }}
where funding is not null
