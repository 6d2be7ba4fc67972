-- Only the running rate has the funding interval. Stocks, metals and indices are in trade zones of their own.
select
    i.symbol,
    i.base_coin as listed_asset,
    i.quote_coin as quote_asset,
    i.settle_coin as settle_asset,
    i.contract_size,
    coalesce({{ class_by_labels('i.concept_plate') }}, 'crypto') as underlying_class,
    r.collect_cycle as funding_interval_hours,
    case i.state when 0 then 'trading' when 3 then 'delisted' else 'halted' end as status,
    {{ from_ms('i.create_time') }} as listed_at,
    i._observed_at as observed_at
from {{ source('mexc', 'instruments') }} as i
left join {{ source('mexc', 'running_rates') }} as r using (symbol, _observed_at)
