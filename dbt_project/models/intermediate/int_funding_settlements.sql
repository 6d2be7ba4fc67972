{#- Margins: an interval depends on four settlements on both sides, at most 48 hours apart, and on the hole before them. -#}
{{ config(materialized='incremental', meta={'time': 'settled_at', 'look_back': 241, 'look_ahead': 241}) }}
{%- set window = replaced_window() %}
with settlements as (
    select *
    from {{ ref('int_funding_rates') }}
    where {{ in_window_ms('raw_ms', window, margin=243) }}
    qualify row_number() over (partition by instrument_id, settled_at order by rate_interval is null, precedence, raw_ms) = 1
),

spaced as (  -- minutes since the settlement before; after more than 48 hours a series begins anew
    select *, sum(begins) over (partition by instrument_id order by settled_at) as run
    from (
        select
            *,
            date_diff('minute', lag(settled_at) over series, settled_at) as gap_before,
            coalesce(gap_before > 2880, true)::integer as begins
        from settlements
        window series as (partition by instrument_id order by settled_at)
    )
),

usual as (  -- the median gap of the seven settlements around, in hours; a few minutes of delay don't count
    select
        *,
        case when begins = 0 then gap_before end as minutes,
        quantile_disc(case when begins = 0 then gap_before end, 0.5) over (
            partition by instrument_id, run order by settled_at rows between 3 preceding and 3 following) as median_gap,
        case when abs(median_gap - 15 * round(median_gap / 15)) <= 5 and median_gap >= 10 then 15 * round(median_gap / 15) else median_gap end / 60
            as usual_hours
    from spaced
),

gaps as (  -- in hours: the usual gap where a settlement came late or early, else the gap itself
    select
        *,
        case
            when abs(minutes - 60 * usual_hours) <= least(50, 24 * usual_hours) then usual_hours
            when minutes >= 10 and abs(minutes - 15 * round(minutes / 15)) <= 5 then 15 * round(minutes / 15) / 60
            else minutes / 60
        end as gap
    from usual
),

own as (  -- a gap that is longer than usual, and twice the gaps beside it, has a hole: a settlement is missing
    select
        *,
        gap > usual_hours and gap >= 2 * greatest(lag(gap) over series, lead(gap) over series) as has_hole,
        lead(gap) over series is null as is_last
    from gaps
    window series as (partition by instrument_id, run order by settled_at)
),

known as (
    select
        o.*,
        case
            -- unless the settlements contradict it: they lie regularly, and farther apart or closer together
            when o.stated_interval_hours is not null and not coalesce(
                (o.has_hole or coalesce(o.gap, o.next_gap) = o.usual_hours)
                and o.usual_hours / o.stated_interval_hours not between 0.68 and 1.49 and o.raw_unit = 'fraction_per_interval', false
            ) then 'stated'
            when not o.has_hole or o.is_last and o.gap = i.funding_interval_hours then 'gap'
            when o.has_hole then 'neighbour'
            when o.gap is null and o.usual_hours is not null then 'gap'
            when i.funding_interval_hours is not null then 'instrument'
            else 'default'
        end as interval_method,
        case interval_method
            when 'stated' then o.stated_interval_hours
            when 'gap' then coalesce(o.gap, o.next_gap)
            when 'neighbour' then o.usual_hours
            when 'instrument' then i.funding_interval_hours
            else 8
        end as interval_hours,
        i.base_asset,
        i.multiplier,
        i.quote_asset,
        i._versions
    from (
        -- the first settlement of a series pays for as long as the next one
        select *, case when lead(has_hole) over series then usual_hours else lead(gap) over series end as next_gap
        from own
        window series as (partition by instrument_id, run order by settled_at)
        qualify {{ in_window('settled_at', window) }}
    ) as o
    {{ join_instrument('o', 'o.settled_at') }}
    where {{ in_life('o.settled_at') }}
),

rated as (
    select *, to_microseconds((interval_hours * 3600e6)::bigint) as paid_time, rate_interval / interval_hours * 8 as rate, {{ is_possible('rate', 'rate_8h') }} as is_possible
    from known
)

select
    k.venue,
    k.source,
    k.instrument_id,
    k.base_asset,
    k.settled_at,
    case when k.is_possible then k.rate_interval end as rate_interval,
    k.interval_hours,
    k.interval_method,
    case s.value when 'interval_start' then k.settled_at else k.settled_at - k.paid_time end as paid_from,
    case s.value when 'interval_start' then k.settled_at + k.paid_time else k.settled_at end as paid_to,
    case when k.is_possible then k.rate end as rate_8h,
    case when k.is_possible then k.rate_interval / k.interval_hours * 8760 end as apr,
    k.quote_asset,
    k.raw_rate,
    k.raw_unit,
    k.stamp,
    k.mark_price / k.multiplier as mark_price,
    nullif(concat_ws('; ', k.nulled, case when not k.is_possible then 'rate_8h ' || k.rate end), '') as nulled,
    k.stamp + to_minutes(d.value::bigint) as known_at,
    k._observed_at as _loaded_at,
    k._versions
from rated as k
{{ join_fact('s', 'k', 'funding_rates', "'stamp_meaning'", 'k.settled_at') }}
{{ join_fact('d', 'k', 'funding_rates', "'publication_delay_minutes'") }}
