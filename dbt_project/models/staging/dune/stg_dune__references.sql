-- Days of whole projects, over all their assets. GMX's versions are two protocols: `gmx v1`, `gmx v2`.
select
    'volume' as metric,
    project || ' v' || version as covers,
    {{ from_ms('"day"') }} as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    -- null where a chain's sum is not known
    case when count(*) = count(volume_usd) then {{ sum_of('volume_usd') }} end as raw_value,
    'usd' as raw_unit,
    max(_observed_at) as _observed_at
from {{ source('dune', 'volume') }}
group by project, version, "day"
union all by name
select
    case when is_long then 'long_liquidations' else 'short_liquidations' end as metric,
    project || ' v' || version as covers,
    {{ from_ms('"day"') }} as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    size_usd as raw_value,
    'usd' as raw_unit,
    _observed_at
from {{ source('dune', 'liquidations') }}
