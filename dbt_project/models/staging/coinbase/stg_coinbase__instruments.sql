-- What pays funding is a perpetual, however far its expiry; it is settled in dollars.
select
    product_id as symbol,
    contract_root_unit as listed_asset,
    quote_currency_id as quote_asset,
    quote_currency_id as settle_asset,
    'linear' as contract_type,
    contract_size,
    case futures_asset_type
        when 'FUTURES_ASSET_TYPE_CRYPTO' then 'crypto' when 'FUTURES_ASSET_TYPE_STOCKS' then 'equity' else 'other'
    end as underlying_class,
    try_cast(rtrim(funding_interval, 's') as double) / 3600 as funding_interval_hours,
    case when trading_disabled then 'halted' else 'trading' end as status,
    _observed_at as observed_at
from {{ source('coinbase', 'instruments') }}
where funding_interval is not null
