-- Perpetuals alone. A contract of an inverse one is worth so many USD, of a linear one so many coins.
select
    instrument_name as symbol,
    base_currency as listed_asset,
    quote_currency as quote_asset,
    settlement_currency as settle_asset,
    case instrument_type when 'reversed' then 'inverse' when 'linear' then 'linear' end as contract_type,
    contract_size,
    'crypto' as underlying_class,
    case when is_active then 'trading' else 'halted' end as status,
    {{ from_ms('creation_timestamp') }} as listed_at,
    _observed_at as observed_at
from {{ source('deribit', 'instruments') }}
where kind = 'future' and settlement_period = 'perpetual'
