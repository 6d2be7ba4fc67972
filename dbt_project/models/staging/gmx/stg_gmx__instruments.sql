-- A token that is newer than the seed is an asset by its address, which is not counted as crypto. A market without an index token only swaps.
select
    m.market_token_address as symbol,
    coalesce(t.symbol, m.index_token_address) as listed_asset,
    'USD' as quote_asset,
    'USD' as settle_asset,
    'linear' as contract_type,
    1.0::double as contract_size,
    coalesce(t.underlying_class, 'other') as underlying_class,
    1.0::double as funding_interval_hours,
    case when m.is_disabled then 'delisted' else 'trading' end as status,
    m._observed_at as observed_at
from {{ source('gmx', 'instruments') }} as m
left join {{ ref('gmx_tokens') }} as t on lower(m.index_token_address) = lower(t.address)
where m.index_token_address <> '0x0000000000000000000000000000000000000000'
