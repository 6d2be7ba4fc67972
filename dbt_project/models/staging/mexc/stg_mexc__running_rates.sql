select
    r.symbol,
    r._observed_at as observed_at,
    r.funding_rate as raw_rate,
    r.collect_cycle as interval_hours,
    {{ from_ms('r.next_settle_time') }} as next_settlement_at,
    t.fair_price as mark_price,
    t.index_price
from {{ source('mexc', 'running_rates') }} as r
left join {{ source('mexc', 'tickers') }} as t using (symbol, _observed_at)
