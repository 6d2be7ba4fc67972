select
    o.symbol,
    coalesce(o."time", epoch_ms(o._observed_at)) as raw_ms,
    {{ from_ms('raw_ms') }} as stamp,
    {{ hour_of('raw_ms') }} as observed_at,
    o.open_interest as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    p.mark_price,
    true as is_snapshot,
    o._observed_at as loaded_at
from {{ source('binance_usdm', 'open_interest_now') }} as o
left join {{ source('binance_usdm', 'premium_index') }} as p using (symbol, _observed_at)
where o.open_interest > 0
