select
    r.symbol,
    r._observed_at as observed_at,
    r.funding_rate as raw_rate,
    r.funding_rate_interval as interval_hours,
    {{ from_ms('r.next_update') }} as next_settlement_at,
    t.mark_price,
    t.index_price
from {{ source('bitget', 'running_rates') }} as r
left join {{ source('bitget', 'tickers') }} as t using (symbol, _observed_at)
