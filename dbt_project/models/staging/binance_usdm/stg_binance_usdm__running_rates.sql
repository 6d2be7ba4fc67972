select
    p.symbol,
    p._observed_at as observed_at,
    p.last_funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    p.last_funding_rate as rate,
    {{ from_ms('nullif(p.next_funding_time, 0)') }} as next_settlement_at,
    p.mark_price,
    p.index_price
from {{ source('binance_usdm', 'premium_index') }} as p
