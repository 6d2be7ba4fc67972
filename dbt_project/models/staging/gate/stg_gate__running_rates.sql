select
    name as symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    funding_interval / 3600 as interval_hours,
    {{ from_ms('nullif(funding_next_apply, 0) * 1000') }} as next_settlement_at,
    mark_price,
    index_price
from {{ listed('gate') }}
where type = 'direct' and funding_rate is not null
