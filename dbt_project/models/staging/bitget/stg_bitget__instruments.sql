-- Sizes are coins: `sizeMultiplier` is a step, not the size of a contract.
select
    symbol,
    base_coin as listed_asset,
    quote_coin as quote_asset,
    'USDT' as settle_asset,
    1.0::double as contract_size,
    case when is_rwa = 'YES' then 'other' else 'crypto' end as underlying_class,
    fund_interval as funding_interval_hours,
    case symbol_status when 'normal' then 'trading' when 'off' then 'delisted' else 'halted' end as status,
    {{ from_ms('launch_time') }} as listed_at,
    case when try_cast(off_time as bigint) > 0 then {{ from_ms('try_cast(off_time as bigint)') }} end as delisted_at,
    _observed_at as observed_at
from {{ source('bitget', 'instruments') }}
where symbol_type = 'perpetual'
