-- The vendor sends no settlement asset; a contract whose unit is the quote currency is inverse (unverified).
select
    r.venue,
    r.symbol_id_exchange as symbol,
    r.asset_id_base as listed_asset,
    r.asset_id_quote as quote_asset,
    case when r.contract_unit_asset = r.asset_id_quote then 'inverse' else 'linear' end as contract_type,
    nullif(r.contract_unit, 0) as contract_size,
    {{ fact_about_venue(source_name='coinapi', dataset='instruments', fact='underlying_class', venue='r.venue') }} as underlying_class,
    'trading' as status,
    r._observed_at as observed_at
from {{ source('coinapi', 'instruments') }} as r
where r.symbol_type = 'PERPETUAL' and r.symbol_id_exchange is not null and r.asset_id_base is not null
