select
    symbol,
    base_coin as listed_asset,
    {{ base_asset('base_coin') }} as base_asset,
    {{ multiplier('base_coin') }} as multiplier,
    quote_coin as quote_asset,
    settle_coin as settle_asset,
    {{ contract_type('base_coin', 'quote_coin', 'settle_coin') }} as contract_type,
    1.0::double as contract_size,
    case symbol_type when 'stock' then 'equity' when 'commodity' then 'commodity' when 'forex' then 'forex' else 'crypto' end
        as underlying_class,
    funding_interval / 60 as funding_interval_hours,
    case status when 'Trading' then 'trading' when 'Closed' then 'delisted' else 'halted' end as status,
    {{ from_ms('nullif(launch_time, 0)') }} as listed_at,
    {{ from_ms('nullif(delivery_time, 0)') }} as delisted_at,
    _observed_at as observed_at
from {{ source('bybit_linear', 'instruments') }}
where contract_type = 'LinearPerpetual'
