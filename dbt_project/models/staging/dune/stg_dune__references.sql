-- Days of whole projects: no asset is told.
select
    'volume' as metric,
    project as covers,
    "day" as raw_ms,
    {{ from_ms('"day"') }} as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    sum(volume_usd) as raw_value,
    'usd' as raw_unit,
    raw_value as value,
    'usd' as unit,
    null::varchar as symbol,
    null::varchar as base_asset,
    max(_observed_at) as loaded_at
from {{ source('dune', 'volume') }}
group by project, "day"
union all by name
select
    case when is_long then 'long_liquidations' else 'short_liquidations' end as metric,
    project as covers,
    "day" as raw_ms,
    {{ from_ms('"day"') }} as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    size_usd as raw_value,
    'usd' as raw_unit,
    size_usd as value,
    'usd' as unit,
    _observed_at as loaded_at
from {{ source('dune', 'liquidations') }}
