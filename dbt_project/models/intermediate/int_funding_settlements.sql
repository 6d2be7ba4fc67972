{#- Margins: three gaps of at most 8 hours reach 24 hours, a neighbour another 48, and one hour for the stamp. -#}
{{ config(
    materialized='incremental', incremental_strategy='replace_window', on_schema_change='append_new_columns',
    meta={'time': 'settled_at', 'look_back': 73, 'look_ahead': 73}
) }}
{%- set window = replaced_window() %}
with settlements as (
    select *
    from {{ ref('int_funding_rates') }}
    where {{ in_window_ms('raw_ms', window, margin=96) }}
    qualify row_number() over (partition by instrument_id, settled_at order by precedence, raw_ms) = 1
),

gaps as (  -- rounded hours since the settlement before, where they can be an interval (at most 5 minutes off)
    select
        *,
        date_diff('minute', lag(settled_at) over series, settled_at) as minutes,
        case when abs(minutes - 60 * round(minutes / 60)) <= 5 and round(minutes / 60) in (1, 2, 4, 8) then round(minutes / 60) end as gap
    from settlements
    window series as (partition by instrument_id order by settled_at)
),

runs as (  -- a gap counts as the interval where it is one of three equal gaps in a row
    select
        *,
        coalesce(gap = lag(gap) over series and gap = lag(gap, 2) over series, false)
        or coalesce(gap = lag(gap) over series and gap = lead(gap) over series, false)
        or coalesce(gap = lead(gap) over series and gap = lead(gap, 2) over series, false) as is_run
    from gaps
    window series as (partition by instrument_id order by settled_at)
),

own as (  -- after a missing settlement, and at the start of a series, the gap to the next settlement counts
    select
        *,
        case
            when is_run then gap
            when gap is null and (minutes is null or minutes > 485) and lead(is_run) over series then lead(gap) over series
        end as own_hours
    from runs
    window series as (partition by instrument_id order by settled_at)
),

neighbours as (  -- the commonest interval within two days, for settlements without an own interval
    select instrument_id, settled_at, hours
    from (
        select o.instrument_id, o.settled_at, n.own_hours as hours, count(*) as votes
        from own as o
        inner join own as n
            on o.instrument_id = n.instrument_id
            and n.settled_at between o.settled_at - interval 2 day and o.settled_at + interval 2 day
        where o.own_hours is null and o.stated_interval_hours is null and n.own_hours is not null
        group by all
    )
    qualify row_number() over (partition by instrument_id, settled_at order by votes desc, hours desc) = 1
),

known as (
    select
        o.*,
        coalesce(o.stated_interval_hours, o.own_hours, n.hours, i.funding_interval_hours, 8) as interval_hours,
        case
            when o.stated_interval_hours is not null then 'stated'
            when o.own_hours is not null then 'gap'
            when n.hours is not null then 'neighbour'
            when i.funding_interval_hours is not null then 'instrument'
            else 'default'
        end as interval_method,
        i.base_asset,
        i.multiplier,
        i.quote_asset,
        i._versions
    from (select * from own where {{ in_window('settled_at', window) }}) as o
    {{ join_instrument('o', 'o.settled_at') }}
    left join neighbours as n on o.instrument_id = n.instrument_id and o.settled_at = n.settled_at
)

select
    k.venue,
    k.source,
    k.instrument_id,
    k.base_asset,
    k.settled_at,
    k.rate_interval,
    k.interval_hours,
    k.interval_method,
    k.rate_interval / k.interval_hours * 8 as rate_8h,
    k.rate_interval / k.interval_hours * 8760 as apr,
    k.quote_asset,
    k.raw_rate,
    k.raw_unit,
    k.stamp,
    k.mark_price / k.multiplier as mark_price,
    k.stamp + to_minutes(d.value::bigint) as known_at,
    k._observed_at as _loaded_at,
    k._versions
from known as k
{{ join_fact('d', 'k', 'funding_rates', "'publication_delay_minutes'") }}
