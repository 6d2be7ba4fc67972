-- The contract size in coins is a venue fact by contract code; an unknown code gives null. The report is as of the close of a Tuesday.
select
    'open_interest' as metric,
    'cme' as covers,
    r.contract_code as symbol,
    f.listed_asset,
    {{ from_ms('r.reported_on') }} + interval 1 day as period_start,
    {{ from_ms('r.reported_on') }} + interval 1 day as period_end,
    r.open_interest as raw_value,
    'contracts' as raw_unit,
    r.open_interest * f.contract_size as value,
    'base' as unit,
    r._observed_at
from {{ source('cftc', 'reports') }} as r
left join (
    select
        split_part(fact, ' of ', 2) as contract_code,
        split_part(value, ' ', 1)::double as contract_size,
        split_part(value, ' ', 2) as listed_asset
    from {{ ref('venue_facts') }}
    where source = 'cftc' and fact like 'contract_size of %'
) as f using (contract_code)
