-- Whole projects by day. GMX's own rows tell the larger side as its open interest: so does this.
with days as (
    select
        project,
        "day",
        sum(volume) as volume,
        sum(greatest(long_open_interest, short_open_interest)) as open_interest,
        max(_observed_at) as loaded_at
    from {{ source('thegraph', 'pools') }}
    group by all
),

sides as (
    select
        project,
        side,
        "time" - "time" % 86400000 as "day",
        sum(amount) as amount,
        max(_observed_at) as loaded_at
    from {{ source('thegraph', 'liquidations') }}
    group by all
),

told as (
    select project, "day", loaded_at, 'volume' as metric, volume as raw_value from days
    union all
    select project, "day", loaded_at, 'open_interest' as metric, open_interest from days
    union all
    select project, "day", loaded_at, lower(side) || '_liquidations' as metric, amount from sides
)

select
    'thegraph' as venue,
    metric,
    project as covers,
    null::varchar as symbol,
    null::varchar as base_asset,
    "day" as raw_ms,
    {{ from_ms('"day"') }} + case metric when 'open_interest' then interval 1 day else interval 0 day end as period_start,
    {{ from_ms('"day"') }} + interval 1 day as period_end,
    raw_value,
    'usd' as raw_unit,
    raw_value as value,
    'usd' as unit,
    loaded_at
from told
