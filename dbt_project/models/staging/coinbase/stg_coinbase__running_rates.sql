select
    product_id as symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    try_cast(rtrim(funding_interval, 's') as double) / 3600 as interval_hours,
    index_price
from {{ listed('coinbase') }}
where funding_interval is not null and funding_rate is not null
