with swaps as (
    select
        *,
        split_part(coalesce(nullif(inst_family, ''), uly), '-', 1) as base,
        split_part(coalesce(nullif(inst_family, ''), uly), '-', 2) as quote
    from {{ source('okx', 'instruments') }}
    -- Instruments before their listing have no contract type yet.
    where inst_type = 'SWAP' and ct_type in ('linear', 'inverse')
)

select
    s.symbol,
    s.base as listed_asset,
    s.quote as quote_asset,
    s.settle_ccy as settle_asset,
    s.ct_type as contract_type,
    -- In coins where it is linear, in quote currency where it is inverse; null where the contract counts another currency.
    case when s.ct_val_ccy = case s.ct_type when 'linear' then s.base else s.quote end then s.ct_val * s.ct_mult end as contract_size,
    -- `instCategory`: 1 is crypto, 3 is stocks; older lists don't have it.
    case
        when s.rule_type = 'pre_market' then 'other'
        when s.inst_category in ('', '1') then 'crypto'
        when s.inst_category = '3' then 'equity'
        else 'other'
    end as underlying_class,
    (r.next_funding_time - r.funding_time) / 3600000 as funding_interval_hours,
    case s.state when 'live' then 'trading' else 'halted' end as status,
    {{ from_ms('s.list_time') }} as listed_at,
    {{ from_ms('s.exp_time') }} as delisted_at,
    s._observed_at as observed_at
from swaps as s
left join {{ source('okx', 'running_rates') }} as r using (symbol, _observed_at)
