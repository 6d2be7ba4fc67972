select
    instrument_name as symbol,
    underlying_asset as listed_asset,
    quote_asset,
    quote_asset as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    {{ fact_about_venue(source_name='aevo', dataset='instruments', fact='underlying_class', venue="'aevo'") }} as underlying_class,
    1.0::double as funding_interval_hours,
    case when is_active then 'trading' else 'halted' end as status,
    _observed_at as observed_at
from {{ source('aevo', 'instruments') }}
where instrument_type = 'PERPETUAL'
