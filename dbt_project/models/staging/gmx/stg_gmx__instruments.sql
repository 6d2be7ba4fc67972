-- A token that is not known is no asset: it is left out, never guessed.
select
    m.market_token_address as symbol,
    t.symbol as listed_asset,
    'USD' as quote_asset,
    'USD' as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    'crypto' as underlying_class,
    1.0::double as funding_interval_hours,
    'trading' as status,
    m._observed_at as observed_at
from {{ source('gmx', 'instruments') }} as m
inner join {{ ref('gmx_tokens') }} as t on lower(m.index_token_address) = lower(t.address)
