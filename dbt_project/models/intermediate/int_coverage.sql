{{ config(
    materialized='incremental', meta={'time': 'day', 'follows': ['int_calendar', 'int_daily_instruments'], 'look_back': 168, 'look_ahead': 168}
) }}
{#- Margins: a week, in which a day without a settlement takes the interval of another day. -#}
{%- set window = replaced_window() %}
-- Expected and seen observations of each instrument, day and dataset, within the part of the day in which they were due.
-- Funding is counted by the hours that settlements pay for, so that a change of the interval needs no special rule.
with days as (
    select
        c.*,
        date_trunc('hour', c.due_from) as hour_from,
        date_trunc('hour', c.due_to) as hour_to,
        d.candles,
        d.oi_observations,
        d.funding_settlements,
        d.funding_hours,
        stamps.value as stamp_meaning,
        coalesce(
            d.funding_interval_hours,
            last_value(d.funding_interval_hours ignore nulls) over before,
            first_value(d.funding_interval_hours ignore nulls) over after,
            c.funding_interval_hours,
            8
        ) as interval_hours
    from {{ ref('int_calendar') }} as c
    left join {{ ref('int_daily_instruments') }} as d using (instrument_id, day)
    {{ join_fact('stamps', 'c', 'funding_rates', "'stamp_meaning'") }}
    where {{ in_window('c.day', window, margin=168) }}
    window
        before as (partition by c.instrument_id order by c.day range between interval 7 day preceding and current row),
        after as (partition by c.instrument_id order by c.day range between current row and interval 7 day following)
),

counted as (
    select
        day, venue, source, instrument_id, base_asset, 'candles' as dataset, hour_from as due_from, hour_to as due_to,
        1.0 as interval_hours, null::double as missing_hours, candles as seen
    from days
    union all
    select
        day, venue, source, instrument_id, base_asset, 'open_interest',
        case when due_from > hour_from then hour_from + interval 1 hour else hour_from end, hour_to, 1.0, null, oi_observations
    from days
    union all
    select
        day, venue, source, instrument_id, base_asset, 'funding_rates', hour_from, slots_to, interval_hours,
        greatest(date_diff('hour', hour_from, slots_to) - coalesce(funding_hours, 0), 0), funding_settlements
    from (
        select
            *,
            -- The settlement that closes the day is due with it, once the run's clock is past it and the contract was listed then; where the
            -- day is cut short, the one after the cut isn't due.
            date_diff('hour', day::timestamp, hour_to) / interval_hours as intervals,
            case
                when is_last and stamp_meaning = 'settlement'
                    then greatest(hour_from, day + to_hours(((ceil(intervals) - 1) * interval_hours)::bigint))
                when due_to < day + interval 1 day then greatest(hour_from, day + to_hours((floor(intervals) * interval_hours)::bigint))
                else hour_to
            end as slots_to
        from days
    )
)

select
    day, venue, source, instrument_id, base_asset, dataset, due_from, due_to, interval_hours,
    case dataset
        when 'funding_rates' then coalesce(seen, 0) + ceil(missing_hours / interval_hours - 1e-6)::bigint
        else date_diff('hour', due_from, due_to)
    end as expected,
    least(coalesce(seen, 0), expected) as seen,
    least(coalesce(seen, 0), expected) as comparable
from counted
where expected > 0 and {{ in_window('day', window) }}
union all  -- a day that any source of the instrument's liquidations gave, or the collector heard; by which the class is its facts' own
select
    c.day, c.venue, c.source, c.instrument_id, c.base_asset, 'liquidations', c.due_from, c.due_to, 24, 1,
    (count(w.instrument_id) > 0)::bigint, coalesce(bool_or(k.value = 'complete'), false)::bigint
from {{ ref('int_calendar') }} as c
left join {{ ref('int_liquidation_windows') }} as w
    on c.instrument_id = w.instrument_id and w.window_start <= c.due_from and w.window_end >= c.due_to
{%- set of_its_way = "'completeness_class' || coalesce(' of ' || w.facts_of, '')" %}
{{ join_fact('k', 'w', 'liquidations', of_its_way, 'c.day') }}
where {{ in_window('c.day', window) }}
group by c.day, c.venue, c.source, c.instrument_id, c.base_asset, c.due_from, c.due_to
