-- Days of whole projects, over all their assets. Open interest is the larger side, as in GMX's own rows.
with days as (
    select
        project,
        "day",
        {{ sum_of('volume') }} as volume,
        {{ sum_of('greatest(long_open_interest, short_open_interest)') }} as open_interest,
        max(_observed_at) as _observed_at
    from {{ source('thegraph', 'pools') }}
    group by all
),

liquidations as (
    select
        project,
        "time" - "time" % 86400000 as "day",
        lower(side) || '_liquidations' as metric,
        {{ sum_of('amount') }} as raw_value,
        max(_observed_at) as _observed_at
    from {{ source('thegraph', 'liquidations') }}
    group by all
),

numbers as (
    select project, "day", _observed_at, 'volume' as metric, volume as raw_value from days
    union all by name
    select project, "day", _observed_at, 'open_interest' as metric, open_interest as raw_value from days
    union all by name
    select * from liquidations
)

select
    'thegraph' as venue,
    metric,
    project as covers,
    {{ from_ms('"day"') }} + case metric when 'open_interest' then interval 1 day else interval 0 day end as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    raw_value,
    'usd' as raw_unit,
    _observed_at
from numbers
