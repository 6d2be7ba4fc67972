-- The venue states no listing time; delisted coins stay in the list.
select
    name as symbol,
    name as listed_asset,
    {{ base_asset('name') }} as base_asset,
    {{ multiplier('name') }} as multiplier,
    'USD' as quote_asset,
    'USDC' as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    'crypto' as underlying_class,
    fixed.value::double as funding_interval_hours,
    case when is_delisted then 'delisted' else 'trading' end as status,
    _observed_at as observed_at
from (select 'hyperliquid' as source, * from {{ source('hyperliquid', 'instruments') }}) as i
{{ join_fact('fixed', 'i', 'funding_rates', "'fixed_interval_hours'", 'i._observed_at') }}
