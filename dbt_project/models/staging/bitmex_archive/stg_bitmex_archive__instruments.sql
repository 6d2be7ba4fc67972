-- What has a bar, by its name: bitcoin in dollars is inverse, other coins in dollars are quanto, settled in bitcoin. The venue closed: all
-- instruments are delisted from that day.
with named as (
    select
        symbol,
        regexp_extract(symbol, '^(.+?)(USDT|USD)$', ['listed_asset', 'quote_asset']) as name,
        min(_observed_at) as observed_at
    from {{ source('bitmex_archive', 'candles') }}
    group by symbol
)

select
    n.symbol,
    n.name.listed_asset,
    n.name.quote_asset,
    case n.name.quote_asset when 'USDT' then 'USDT' else 'BTC' end as settle_asset,
    case when n.name.quote_asset = 'USDT' then 'linear' when n.symbol = 'XBTUSD' then 'inverse' else 'quanto' end as contract_type,
    case n.symbol when 'XBTUSD' then 1.0 end as contract_size,
    'crypto' as underlying_class,
    'delisted' as status,
    v.closed_on as delisted_at,
    n.observed_at
from named as n
left join {{ ref('venues') }} as v on v.venue = 'bitmex'
