-- Dated futures stand in the same list.
select
    t.symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    t.holding_amount as raw_value,
    'holdingAmount' as raw_field,
    'listed_base' as raw_unit,
    t.mark_price,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source('bitget', 'tickers') }} as t
inner join {{ source('bitget', 'instruments') }} as i using (symbol, _observed_at)
where i.symbol_type = 'perpetual' and t.holding_amount > 0
