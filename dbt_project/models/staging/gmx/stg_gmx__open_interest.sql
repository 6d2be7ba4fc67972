-- Longs and shorts differ: the larger is what compares with one side of an order book. Dollars at entry prices.
select
    o.symbol,
    o."time" as raw_ms,
    greatest(o.long_open_interest_usd, o.short_open_interest_usd) / 1e30 as raw_value,
    'greater of longs and shorts' as raw_field,
    'quote' as raw_unit,
    -- a token's price is in 1e30 divided by the token's own unit
    o.index_token_min_price / power(10, 30 - t.decimals) as mark_price,
    o._observed_at
from {{ source('gmx', 'open_interest') }} as o
left join (
    select market_token_address, arg_max(index_token_address, _observed_at) as index_token_address
    from {{ source('gmx', 'instruments') }}
    group by all
) as m on o.symbol = m.market_token_address
left join {{ ref('gmx_tokens') }} as t on lower(m.index_token_address) = lower(t.address)
