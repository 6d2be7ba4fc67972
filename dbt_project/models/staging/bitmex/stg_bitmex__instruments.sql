-- The venue closed: all instruments are delisted from that day. A quanto contract pays `contract_size` of the settlement coin per point.
select
    i.symbol,
    i.root_symbol as listed_asset,
    i.quote_currency as quote_asset,
    case i.settl_currency when 'XBt' then 'BTC' when 'USDt' then 'USDT' end as settle_asset,
    case when i.is_quanto then 'quanto' when i.is_inverse then 'inverse' else 'linear' end as contract_type,
    case when i.is_quanto or i.is_inverse then abs(i.multiplier) / 1e8 else 1 / nullif(i.underlying_to_position_multiplier, 0) end as contract_size,
    'crypto' as underlying_class,
    'delisted' as status,
    {{ from_ms('i.listing') }} as listed_at,
    v.closed_on as delisted_at,
    i._observed_at as observed_at
from {{ source('bitmex', 'instruments') }} as i
left join {{ ref('venues') }} as v on v.venue = 'bitmex'
where i.typ = 'FFWCSX' and i.settl_currency in ('XBt', 'USDt')
