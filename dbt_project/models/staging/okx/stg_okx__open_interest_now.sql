-- Contracts of the size that the list of the same minute gives.
select
    o.symbol,
    o.ts as raw_ms,
    o.oi as raw_value,
    'oi' as raw_field,
    'contracts' as raw_unit,
    nullif(o.oi_usd, 0) as venue_usd,
    m.mark_px as mark_price,
    o._observed_at
from {{ source('okx', 'open_interest_now') }} as o
left join {{ source('okx', 'mark_prices') }} as m using (symbol, _observed_at)
