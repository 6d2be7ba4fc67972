-- Multi-collateral perpetuals (`PF_`): linear, sized in the base coin, settled in USD.
select
    symbol,
    split_part(pair, ':', 1) as listed_asset,
    split_part(pair, ':', 2) as quote_asset,
    'USD' as settle_asset,
    'linear' as contract_type,
    coalesce(contract_size, 1.0) as contract_size,
    case
        when category = 'Forex' then 'forex'
        when category = 'Commodities' then 'commodity'
        when category in ('xStocks', 'Pre-IPO') or regexp_matches(pair, '[A-Z]x:') then 'equity'
        else 'crypto'
    end as underlying_class,
    case when tradeable then 'trading' else 'halted' end as status,
    opening_date::timestamp as listed_at,
    _observed_at as observed_at
from {{ source('kraken_futures', 'instruments') }}
where symbol like 'PF\_%' escape '\' and type = 'flexible_futures' and pair is not null and last_trading_time is null
