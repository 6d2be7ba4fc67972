-- Perpetuals alone. A contract of an inverse one is worth so many USD, of a linear one so many coins.
select
    instrument_name as symbol,
    base_currency as listed_asset,
    {{ base_asset('base_currency') }} as base_asset,
    1.0::double as multiplier,
    quote_currency as quote_asset,
    settlement_currency as settle_asset,
    case instrument_type when 'reversed' then 'inverse' when 'linear' then 'linear' end as contract_type,
    contract_size,
    'crypto' as underlying_class,
    fixed.value::double as funding_interval_hours,
    case when is_active then 'trading' else 'halted' end as status,
    {{ from_ms('creation_timestamp') }} as listed_at,
    _observed_at as observed_at
from (select 'deribit' as source, * from {{ source('deribit', 'instruments') }}) as i
{{ join_fact('fixed', 'i', 'funding_rates', "'fixed_interval_hours'", 'i._observed_at') }}
where kind = 'future' and settlement_period = 'perpetual'
