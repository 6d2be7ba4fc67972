-- The venue states no listing time; delisted coins stay in the list.
select
    name as symbol,
    name as listed_asset,
    'USD' as quote_asset,
    'USDC' as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    'crypto' as underlying_class,
    case when is_delisted then 'delisted' else 'trading' end as status,
    _observed_at as observed_at
from {{ source('hyperliquid', 'instruments') }}
