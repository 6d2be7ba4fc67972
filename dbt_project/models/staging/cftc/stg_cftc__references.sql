-- What a contract is worth in coins is a fact by its code; one that is not known gives null.
select
    'open_interest' as metric,
    'cme' as covers,
    r.contract_code as symbol,
    f.listed_asset,
    f.listed_asset as base_asset,
    r.reported_on as raw_ms,
    -- as of the close of the Tuesday: the end of that day
    {{ from_ms('r.reported_on') }} + interval 1 day as period_start,
    {{ from_ms('r.reported_on') }} + interval 1 day as period_end,
    r.open_interest as raw_value,
    'contracts' as raw_unit,
    r.open_interest * f.contract_size as value,
    'base' as unit,
    r._observed_at as loaded_at
from {{ source('cftc', 'reports') }} as r
left join (
    select
        split_part(fact, ' of ', 2) as contract_code,
        split_part(value, ' ', 1)::double as contract_size,
        split_part(value, ' ', 2) as listed_asset
    from {{ ref('venue_facts') }}
    where source = 'cftc' and fact like 'contract_size of %'
) as f using (contract_code)
