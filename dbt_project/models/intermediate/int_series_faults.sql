{{ config(materialized='table') }}
-- Series that are wrong in unit, time, granularity, side or consistency: set apart from all daily sums for the days that the fault spans.
-- A fault of most of a venue's instruments is the venue's. What is found in months that touch is one fault.
with found as (
    select * from {{ ref('int_faults_candles') }}
    union all by name
    select * from {{ ref('int_faults_funding') }}
    union all by name
    select * from {{ ref('int_faults_open_interest') }}
    union all by name
    select * from {{ ref('int_faults_liquidations') }}
),

instruments as (
    select venue, instrument_id, min(day) as first_day, max(day) as last_day
    from {{ ref('int_daily_instruments') }}
    group by all
),

placed as (
    select i.venue, f.* replace (greatest(f.first_day, i.first_day) as first_day, least(f.last_day, i.last_day) as last_day)
    from found as f
    inner join instruments as i using (instrument_id)
),

sizes as (
    select m.month, i.venue, count(*) as instruments
    from (select distinct month from found) as m
    inner join instruments as i on i.first_day < m.month + interval 1 month and i.last_day >= m.month - interval 1 month
    group by all
),

widespread as (  -- two or more instruments, and three in five of those of the venue
    select p.venue, p.month, p.dataset, p.kind, count(distinct p.instrument_id) as faulty, min(p.first_day) as first_day, max(p.last_day) as last_day,
        max_by(p.finding, (p.n, p.instrument_id, p.finding)) as finding, max_by(p.instrument_id, (p.n, p.instrument_id, p.finding)) as example
    from placed as p
    inner join sizes as s using (venue, month)
    where p.kind not in ('identity', 'repetition')
    group by p.venue, p.month, p.dataset, p.kind, s.instruments
    having faulty >= 2 and faulty >= 0.6 * s.instruments
),

judged as (
    select venue, instrument_id, dataset, kind, 'instrument' as scope, month, min(first_day) as first_day, max(last_day) as last_day,
        sum(n)::bigint as observations, string_agg(distinct finding, '; ' order by finding) as finding
    from placed
    group by all
    union all
    -- The venue's other instruments, whose own figures are too small or too few to tell.
    select w.venue, i.instrument_id, w.dataset, w.kind, 'venue', w.month, greatest(w.first_day, i.first_day), least(w.last_day, i.last_day), null,
        format('as {} of the venue''s instruments, so {}: {}', w.faulty, w.example, w.finding)
    from widespread as w
    inner join instruments as i using (venue)
    where not exists (
        select 1 from placed as p where p.instrument_id = i.instrument_id and p.month = w.month and p.dataset = w.dataset and p.kind = w.kind
    ) and greatest(w.first_day, i.first_day) <= least(w.last_day, i.last_day)
),

spans as (
    {{ merged_windows('(select *, last_day + 1 as ends from judged)', 'venue, instrument_id, dataset, kind, scope', 'first_day', 'ends') }}
)

select
    s.venue, s.instrument_id, s.dataset, s.kind, s.scope, s.first_day, s.ends - 1 as last_day,
    -- of the month that has most to stand on
    max(j.observations) as observations, max_by(j.finding, (coalesce(j.observations, 0), j.month)) as finding
from spans as s
inner join judged as j
    on s.instrument_id = j.instrument_id and s.dataset = j.dataset and s.kind = j.kind and s.scope = j.scope
        and j.first_day >= s.first_day and j.first_day < s.ends
group by all
