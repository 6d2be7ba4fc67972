select
    r.symbol,
    r._observed_at as observed_at,
    r.funding_rate as raw_rate,
    (r.next_funding_time - r.funding_time) / 3600000 as interval_hours,
    {{ from_ms('r.funding_time') }} as next_settlement_at,
    m.mark_px as mark_price
from {{ source('okx', 'running_rates') }} as r
left join {{ source('okx', 'mark_prices') }} as m using (symbol, _observed_at)
-- XPERP futures are no swaps.
where r.inst_type = 'SWAP' and r.funding_rate is not null
