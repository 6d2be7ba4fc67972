select
    l.symbol,
    l.id as event_id,
    l."time" as raw_ms,
    case when l.is_long then 'buy' else 'sell' end as raw_side,
    l.execution_price / power(10, 30 - t.decimals) as price,
    l.size_delta_usd / 1e30 as raw_size,
    'quote' as raw_unit,
    l._observed_at
from {{ source('gmx', 'liquidations') }} as l
left join (
    select market_token_address, arg_max(index_token_address, _observed_at) as index_token_address
    from {{ source('gmx', 'instruments') }}
    group by all
) as m on l.symbol = m.market_token_address
left join {{ ref('gmx_tokens') }} as t on lower(m.index_token_address) = lower(t.address)
