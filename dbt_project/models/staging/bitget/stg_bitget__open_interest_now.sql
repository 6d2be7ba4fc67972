-- The list also has dated futures.
select
    t.symbol,
    t.holding_amount as raw_value,
    'holdingAmount' as raw_field,
    'listed_base' as raw_unit,
    t.mark_price,
    _observed_at
from {{ source('bitget', 'tickers') }} as t
inner join {{ source('bitget', 'instruments') }} as i using (symbol, _observed_at)
where i.symbol_type = 'perpetual'
