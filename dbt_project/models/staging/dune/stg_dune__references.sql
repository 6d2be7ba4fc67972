-- Days of whole projects, over all their assets.
select
    'volume' as metric,
    project as covers,
    {{ from_ms('"day"') }} as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    sum(volume_usd) as raw_value,
    'usd' as raw_unit,
    max(_observed_at) as _observed_at
from {{ source('dune', 'volume') }}
group by project, "day"
union all by name
select
    case when is_long then 'long_liquidations' else 'short_liquidations' end as metric,
    project as covers,
    {{ from_ms('"day"') }} as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    size_usd as raw_value,
    'usd' as raw_unit,
    _observed_at
from {{ source('dune', 'liquidations') }}
