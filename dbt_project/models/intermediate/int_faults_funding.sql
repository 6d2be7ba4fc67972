{{ config(materialized='incremental', meta={'time': 'month', 'follows': ['int_daily_instruments']}) }}
{%- set window = replaced_window() %}
-- What funding rates say of themselves and of each other: a row per instrument, month and fault. Correlations are rounded, as their
-- last digits depend on the order of rows.
with settlements as materialized (
    select
        venue, instrument_id, base_asset, settled_at, rate_interval, interval_hours, rate_8h,
        (settled_at - interval 1 microsecond)::date as day,
        round(date_diff('minute', {{ value_before('settled_at', 'settled_at') }}, settled_at) / 60.0)::integer as gap,
        rate_interval - {{ value_before('rate_interval', 'settled_at') }} as change
    from {{ ref('int_funding_settlements') }}
    where {{ needed_to_judge('settled_at', window) }}
    window series as (partition by instrument_id order by settled_at)
),

rates as ({{ judged('settlements', 'day', window) }}),

-- shift: settlements of 8 hours fall on 00, 08 and 16 UTC, of 4 hours on their multiples; two venues have a grid of their own
phases as (
    select instrument_id, month, quantile_disc(phase, 0.5) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from (
        select *, hour(settled_at) % interval_hours as phase
        from rates
        where interval_hours in (2, 4, 8) and venue not in ('bitmex', 'kucoin')
    )
    group by all
    having n >= 6 and value <> 0 and quantile_disc(phase, 0.1) = value and quantile_disc(phase, 0.9) = value
),

-- granularity: settlements further apart than the interval that the rate is taken for
gaps as (
    select instrument_id, month, mode(gap) as value, median(interval_hours) as hours, count(*) as n, min(day) as first_day, max(day) as last_day
    from rates
    group by all
    having n >= 6 and value > 0 and value <> hours and quantile_disc(gap, 0.1) = value and quantile_disc(gap, 0.9) = value
),

-- granularity: rates that change only at every fourth, eighth or last hour of the day
changes as (
    select instrument_id, month, day, k.step, date_diff('hour', timestamp '1970-01-01', date_trunc('hour', settled_at + interval 30 minute)) % k.step as phase
    from rates
    cross join (values (4), (8), (24)) as k(step)
    where change <> 0 and gap = interval_hours and k.step > interval_hours
),

filled as (
    select instrument_id, month, max(step) as value, max(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from ({{ changes_in_step('changes') }})
    inner join (select instrument_id, month, count(*) as rows, median(interval_hours) as hours from rates group by all) using (instrument_id, month)
    -- by chance in one of 10 million series
    where rows >= 2 * n and n * ln(step / hours) > 16
    group by all
),

-- repetition: a value that the venue has nowhere else stands still; zeros in a series that has few others
stretches as (
    select *, sum((change <> 0 or change is null)::integer) over (partition by instrument_id, month order by settled_at) as stretch
    from rates
),

runs as (
    select
        venue, instrument_id, month, stretch, any_value(rate_interval) as rate, count(*) as n, min(day) as first_day, max(day) as last_day,
        sum(interval_hours) as hours
    from stretches
    group by all
),

repeated as (
    select r.*
    from (select *, count(*) over (partition by venue, month, rate) as seen, sum(n) filter (rate = 0) over (partition by instrument_id, month) as zeros,
        sum(n) over (partition by instrument_id, month) as settlements from runs) as r
    -- round rates stand still in good markets: the interest alone, and caps
    where (abs(r.rate / 2.5e-5 - round(r.rate / 2.5e-5)) > 1e-6 and abs(r.rate - 1.25e-5) > 1e-9 and r.n >= 5 and r.hours >= 36 and r.seen = 1)
        or (r.rate = 0 and r.hours >= 120 and r.n >= 5 and r.zeros - r.n < 0.1 * (r.settlements - r.n) and r.settlements > r.n)
),

carried as (
    select instrument_id, month, max_by(rate, (n, rate)) as value, max(hours) as hours, sum(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from repeated
    group by all
),

-- unit: weekly medians against the asset's other instruments; against no venue's habits where there are none
weeks as (
    select instrument_id, month, base_asset, date_trunc('week', settled_at)::date as week, median(abs(rate_8h)) as rate, count(*) as n,
        min(day) as first_day, max(day) as last_day
    from rates
    group by all
    having n >= 9 and count(distinct day) >= 3
),

compared as (
    select w.instrument_id, w.month, w.week, w.n, w.first_day, w.last_day, w.rate, median(o.rate) as others
    from weeks as w
    inner join weeks as o on w.base_asset = o.base_asset and w.week = o.week and w.month = o.month and w.instrument_id <> o.instrument_id
    group by all
),

scaled as (
    select
        instrument_id,
        month,
        median(rate / others) filter (rate > others) as large,
        median(rate / others) filter (rate < others) as small,
        count(*) filter (rate > 0.001 and rate > 20 * others) as weeks_large,
        count(*) filter (others > 5e-5 and rate < others / 20) as weeks_small,
        count(*) as weeks,
        sum(n) as n,
        case when weeks_large > 0 then min(first_day) filter (rate > 0.001 and rate > 20 * others) else min(first_day) end as first_day,
        case when weeks_large > 0 then max(last_day) filter (rate > 0.001 and rate > 20 * others) else max(last_day) end as last_day
    from compared
    group by all
    having weeks_large > 0 or (weeks_small = weeks and weeks >= 2)
),

typical as (
    select venue, instrument_id, month, median(abs(rate_8h)) as rate, count(distinct day) as days, count(*) as n, min(day) as first_day, max(day) as last_day
    from rates
    group by all
),

venues as (  -- a squeeze is of one coin, not of most of a venue's
    select venue, month, median(rate) as rate, count(*) as instruments
    from typical
    group by all
    having (instruments >= 3 and rate > 0.0015) or (instruments < 3 and rate > 0.005 and max(days) >= 14)
),

-- the sign: daily rates against the median of the asset's other instruments
daily as (select instrument_id, month, base_asset, day, {{ sum_of('rate_8h') }} / count(rate_8h) as rate, count(*) as n from rates group by all),

others as (
    select a.instrument_id, a.month, a.day, a.rate, a.n, median(b.rate) as others
    from daily as a
    inner join daily as b on a.base_asset = b.base_asset and a.day = b.day and a.month = b.month and a.instrument_id <> b.instrument_id
    group by all
),

signs as (
    select instrument_id, month, round(corr(rate, others), 9) as value, sum(n) as n, min(day) as first_day, max(day) as last_day
    from others
    group by all
    having count(*) >= 30 and stddev_pop(rate) > 0 and stddev_pop(others) > 0 and value < -0.5
),

-- shift: means of 8 hours, their changes held against the other venues' up to 24 hours apart
eights as (
    select
        venue, instrument_id, month, base_asset, (epoch(settled_at) - 1800)::bigint // 28800 as bucket, {{ sum_of('rate_8h') }} / count(rate_8h) as rate
    from rates
    where interval_hours in (1, 2, 4, 8)
    group by all
),

steps as materialized (
    select *, case when bucket - lag(bucket) over series = 1 then rate - lag(rate) over series end as change
    from eights
    window series as (partition by instrument_id, month order by bucket)
),

around as (  -- of at least two other venues: of one, it is not known which is shifted
    select a.venue, a.instrument_id, a.month, a.bucket, median(b.change) as others
    from steps as a
    inner join steps as b on a.base_asset = b.base_asset and a.bucket = b.bucket and a.month = b.month and a.venue <> b.venue
    where b.change is not null
    group by all
    having count(distinct b.venue) >= 2
),

placed as materialized (
    select instrument_id, month, bucket, percent_rank() over (partition by instrument_id, month order by change) as place
    from steps
    where change is not null
),

moved as materialized (
    select a.venue, a.instrument_id, a.month, k.steps, a.bucket + k.steps as bucket,
        percent_rank() over (partition by a.instrument_id, a.month order by a.others) as others
    from around as a
    cross join (select unnest(range(-3, 4)) as steps) as k
),

ranked as (
    select m.venue, m.month, 8 * m.steps as hours, m.others, p.place as own, m.bucket
    from moved as m
    inner join placed as p on m.instrument_id = p.instrument_id and m.month = p.month and m.bucket = p.bucket
),

lagged as (
    select
        venue, month, hours, round(corr(own, others), 9) as agreement, count(*) as n,
        make_timestamp(min(bucket) * 28800000000)::date as first_day, make_timestamp(max(bucket) * 28800000000)::date as last_day
    from ranked
    group by all
),

late as (
    select venue, month, max_by(hours, (agreement, hours)) filter (agreement is not null) as value, max(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from lagged
    group by all
    having n >= 120 and value <> 0 and max(agreement) > 0.15 and max(agreement) - max(agreement) filter (hours = 0) > greatest(0.12, 4 / sqrt(max(n)))
)

select instrument_id, month, 'funding_rates' as dataset, 'time shift' as kind, first_day, last_day, n,
    format('settlements come {} hours after the hours at which they are due', value) as finding
from phases
union all
select t.instrument_id, t.month, 'funding_rates', 'time shift', l.first_day, l.last_day, l.n,
    format('rates move about {} hours {} than the asset''s at other venues{}', abs(l.value), case when l.value > 0 then 'later' else 'earlier' end,
        case when l.value < 0 then ': stamped at the start of their interval?' else '' end)
from late as l
inner join typical as t using (venue, month)
union all
select instrument_id, month, 'funding_rates', 'granularity', first_day, last_day, n,
    format('a settlement every {} hours is taken for {} hours: sums or means of several, or an interval that the facts don''t know', value, hours)
from gaps
union all
select instrument_id, month, 'funding_rates', 'granularity', first_day, last_day, n,
    format('rates change only every {} hours: one rate repeated within its interval, so counted several times', value)
from filled
union all
select instrument_id, month, 'funding_rates', 'repetition', first_day, last_day, n,
    case value when 0 then format('zero for {} hours, in a series that is seldom zero', hours) else format('{:.3g} for {} hours: carried forward', value, hours) end
from carried
union all
select instrument_id, month, 'funding_rates', 'unit', first_day, last_day, n,
    case when weeks_large > 0
        then format('{} weeks of |8-hour rates| 20 and more times those of the asset''s other venues ({:.3g} at the median): percent or basis points?', weeks_large, large)
        else format('|8-hour rates| are {:.3g} times those of the asset''s other venues: divided by a hundred?', small) end
from scaled
union all
select t.instrument_id, t.month, 'funding_rates', 'unit', t.first_day, t.last_day, t.n,
    format('the venue''s |8-hour rates| are {:.3g} at the median of {} instruments: percent or basis points?', v.rate, v.instruments)
from typical as t
inner join venues as v using (venue, month)
union all
select
    instrument_id, month, 'funding_rates', 'side', first_day, last_day, n,
    format('daily rates run against the asset''s other venues (correlation {:.2f}): the sign is swapped', value)
from signs
