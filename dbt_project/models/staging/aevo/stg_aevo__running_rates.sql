select
    r.symbol,
    r._observed_at as observed_at,
    r.funding_rate as raw_rate,
    1.0::double as interval_hours,
    {{ from_ms('r.next_epoch') }} as next_settlement_at,
    i.mark_price,
    i.index_price
from {{ source('aevo', 'running_rates') }} as r
left join {{ source('aevo', 'instruments') }} as i on r.symbol = i.instrument_name and r._observed_at = i._observed_at
