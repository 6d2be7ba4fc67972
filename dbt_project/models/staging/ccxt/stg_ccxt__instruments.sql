-- The funding interval is not stated: it follows from the gaps between settlements.
select
    m.venue,
    m.symbol,
    m.listed as listed_asset,
    m.quote as quote_asset,
    m.settle as settle_asset,
    case when m.linear then 'linear' when m.inverse then 'inverse' else 'quanto' end as contract_type,
    nullif(m.contract_size, 0) as contract_size,
    {{ fact_about_venue(source_name='ccxt', dataset='instruments', fact='underlying_class', venue='m.venue') }} as underlying_class,
    case when m.active is false then 'halted' else 'trading' end as status,
    {{ from_ms('nullif(m.created, 0)') }} as listed_at,
    m._observed_at as observed_at
from {{ source('ccxt', 'instruments') }} as m
