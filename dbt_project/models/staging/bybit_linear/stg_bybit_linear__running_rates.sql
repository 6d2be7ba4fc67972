select
    symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate,
    funding_interval_hour as interval_hours,
    {{ from_ms('nullif(next_funding_time, 0)') }} as next_settlement_at,
    mark_price,
    index_price
from {{ source('bybit_linear', 'tickers') }}
where funding_rate is not null
