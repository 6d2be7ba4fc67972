{{ config(materialized='incremental', meta={'time': 'month', 'follows': ['int_daily_instruments']}) }}
{%- set window = replaced_window() %}
-- What open interest says of itself, beside volume and beside the venue's own value: a row per instrument, month and fault.
with hours as materialized (
    select
        o.venue, o.instrument_id, o.base_asset, o.observed_at, o.oi_base, o.oi_usd, o.venue_usd, o.mark_price, o.mark_method, o.is_snapshot,
        o.observed_at::date as day,
        date_diff('hour', {{ value_before('o.observed_at', 'o.observed_at') }}, o.observed_at) as gap,
        o.oi_base - {{ value_before('o.oi_base', 'o.observed_at') }} as change,
        ln(o.oi_usd / {{ value_before('o.oi_usd', 'o.observed_at') }}) as growth_usd,
        ln(o.oi_base / {{ value_before('o.oi_base', 'o.observed_at') }}) as growth_base,
        c.volume_base,
        c.high / c.low - 1 as width,
        c.close
    from {{ ref('int_open_interest_converted') }} as o
    left join {{ ref('int_candles_converted') }} as c on o.instrument_id = c.instrument_id and c.opened_at = o.observed_at - interval 1 hour
        and {{ needed_to_judge('c.opened_at', window) }}
    where o.oi_base > 0 and o.oi_usd > 0 and {{ needed_to_judge('o.observed_at', window) }}
    window series as (partition by o.instrument_id order by o.observed_at)
),

observations as ({{ judged('hours', 'observed_at', window) }}),

days as ({{ judged(ref('int_daily_instruments'), 'day', window) }}),

gaps as (
    select instrument_id, month, mode(gap) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from observations
    where not is_snapshot
    group by all
    having n >= 10 and value >= 2 and quantile_disc(gap, 0.04) = value and quantile_disc(gap, 0.96) = value
),

-- Sizes that were derived from dollars by a price move with it: dollars tell what was observed.
changes as (
    select instrument_id, month, day, k.step, date_diff('hour', timestamp '1970-01-01', observed_at) % k.step as phase
    from observations
    cross join (values (4), (8), (12), (24)) as k(step)
    where gap = 1 and not is_snapshot
        and least(abs(growth_base), abs(growth_usd)) > 1e-9
),

filled as (
    select instrument_id, month, max(step) as value, max(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from ({{ changes_in_step('changes') }})
    inner join (select instrument_id, month, count(*) as rows from observations where not is_snapshot group by all) using (instrument_id, month)
    where n >= 10 and rows >= 3 * n
    group by all
),

-- repetition: the same size, or the same value in dollars, for a day and more, in a series that changes nearly each hour: of 24 such
-- hours 23 are like the one before
repeated as (
    {%- set is_new %}
    coalesce(abs(case u.unit when 'coins' then o.growth_base else o.growth_usd end) > 1e-9, true) or coalesce(o.gap, 2) > 1
    {%- endset %}
    select o.instrument_id, o.month, u.unit
    from observations as o
    cross join (values ('coins'), ('US dollars')) as u (unit)
    where not o.is_snapshot
    group by all
    having count(*) filter (not ({{ is_new }})) >= 23 and avg(({{ is_new }})::integer) > 0.7
),

stretches as (
    select o.instrument_id, o.month, u.unit, o.day,
        sum(({{ is_new }})::integer) over (partition by o.instrument_id, o.month, u.unit order by o.observed_at) as stretch
    from observations as o
    inner join repeated as u on o.instrument_id = u.instrument_id and o.month = u.month
    where not o.is_snapshot
),

still as (
    select instrument_id, month, unit, max(n) as value, sum(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from (
        select instrument_id, month, unit, stretch, count(*) as n, min(day) as first_day, max(day) as last_day
        from stretches
        group by all
        having n >= 24
    )
    group by all
),

-- unit: open interest over a day's volume, of the instrument's own where it has any, else of the asset's largest other
daily as (
    select a.instrument_id, a.month, a.day, a.oi_usd, coalesce(a.volume_usd, max(b.volume_usd)) as most, coalesce(a.volume_usd, min(b.volume_usd)) as least,
        median(c.oi_usd) as others
    from days as a
    left join days as b
        on case when a.volume_usd is null then a.base_asset end = b.base_asset and a.day = b.day and a.month = b.month and a.instrument_id <> b.instrument_id
    left join days as c
        on a.base_asset = c.base_asset and a.day = c.day and a.month = c.month and a.instrument_id <> c.instrument_id and c.oi_usd > 0
    where a.oi_usd > 0
    group by a.instrument_id, a.month, a.day, a.oi_usd, a.volume_usd
),

turnover as (
    select
        instrument_id, month, case when median(oi_usd / most) > 100 then median(oi_usd / most) else median(oi_usd / least) end as value,
        median(oi_usd) as oi_usd, median(oi_usd / others) as share, count(*) as n,
        min(day) as first_day, max(day) as last_day
    from daily
    where least > 0
    group by all
    -- wash trading and dead books reach a hundredth and thirty; where other venues have the asset, one of both must be odd against them
    having n >= 3 and (median(oi_usd / least) < 1.0 / 200 or median(oi_usd / most) > 100) and not coalesce(share between 1.0 / 20 and 20, false)
),

beyond as (
    select instrument_id, month, count(*) filter (abs(change) > volume_base + oi_base * greatest(1e-5, case when mark_method in ('close_proxy', 'last_close') then width else 0 end))
        as value, median(abs(change) / volume_base) as ratio, count(*) as n, min(day) as first_day, max(day) as last_day
    from observations
    where gap = 1 and not is_snapshot and volume_base > 0
    group by all
    having n >= 24 and value > 0.5 * n and ratio > 2
),

-- two sides: the value that the venue states, and a step that volume doesn't allow and that stays; unit: such a step of five times and more
stated as (
    select instrument_id, month, median(oi_usd / venue_usd) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from observations
    where venue_usd > 0 and mark_method <> 'venue_usd'
    group by all
    having n >= 6 and abs(ln(value)) > ln(1.5)
),

widths as (
    select base_asset, opened_at + interval 1 hour as ends, median(high / low - 1) as width
    from {{ ref('int_candles_converted') }}
    where {{ needed_to_judge('opened_at', window) }}
    group by all
),

levels as (
    select instrument_id, month, base_asset, observed_at, day, oi_base, change, volume_base,
        median(oi_base) over (partition by instrument_id, month order by observed_at rows between 24 preceding and 1 preceding) as before,
        median(oi_base) over (partition by instrument_id, month order by observed_at rows between current row and 23 following) as after
    from observations
    where not is_snapshot and (instrument_id, month) in (
        select (instrument_id, month) from observations where not is_snapshot and abs(change) > 0.3 * oi_base
    )
),

steps as (
    select instrument_id, month, greatest(after / before, before / after) >= 5 as is_unit, max_by(after / before, (abs(ln(after / before)), after / before)) as value, 1 as n,
        min(day) as first_day, 'infinity'::date as last_day
    from levels as l
    left join widths as w on l.base_asset = w.base_asset and l.observed_at = w.ends
    -- without a volume of its own: in a quiet hour, because a crash can halve it
    where abs(change) > 0.3 * oi_base
        and case when volume_base is null then w.width < 0.03 else abs(change) > 1.5 * volume_base end
        and (greatest(after / before, before / after) between 1.85 and 2.15 or greatest(after / before, before / after) >= 5)
    group by all
),

-- consistency: the mark that values it against the last price
marks as (
    select instrument_id, month, median(mark_price / close) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from observations
    where close > 0 and mark_price > 0
    group by all
    having n >= 24 and abs(value - 1) > 0.05
),

-- shift: what changes positions is trading, so the largest tenth of changes comes in hours of much volume, of all the asset's venues
volumes as materialized (
    {%- set traded %}(
        select base_asset, opened_at, date_diff('hour', timestamp '1970-01-01', opened_at) + 1 as ends, {{ sum_of('volume_usd') }} as volume
        from {{ ref('int_candles_converted') }}
        where volume_usd > 0 and {{ needed_to_judge('opened_at', window) }}
        group by all
    ){% endset %}
    select month, base_asset, ends, percent_rank() over (partition by month, base_asset order by volume) as place
    from ({{ judged(traded, 'opened_at', window) }})
),

largest as materialized (
    select venue, month, base_asset, day, date_diff('hour', timestamp '1970-01-01', observed_at) as hour
    from observations
    where gap = 1 and not is_snapshot
    qualify percent_rank() over (partition by instrument_id, month order by abs(growth_base)) > 0.9
),

moved as materialized (select *, hour - k.hours as ends from largest cross join (select unnest(range(-12, 13)) as hours) as k),

lagged as (
    select m.venue, m.month, m.hours, {{ sum_of('v.place') }} / count(v.place) as agreement, count(*) as n, min(m.day) as first_day, max(m.day) as last_day
    from moved as m
    inner join volumes as v on m.month = v.month and m.base_asset = v.base_asset and m.ends = v.ends
    group by all
),

late as (
    select venue, month, max_by(hours, (agreement, hours)) filter (agreement is not null) as value, max(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from lagged
    group by all
    having n >= 60 and abs(value) >= 2 and max(agreement) > 0.58
        and max(agreement) - max(agreement) filter (abs(hours) <= 1) > greatest(0.03, 1.2 / sqrt(max(n)))
),

instruments as (select distinct venue, instrument_id, month from observations)

select instrument_id, month, 'open_interest' as dataset, 'granularity' as kind, first_day, last_day, n,
    format('an observation every {} hours, where one an hour is due', value) as finding
from gaps
union all
select instrument_id, month, 'open_interest', 'repetition', first_day, last_day, n, format('changes only every {} hours: carried forward', value)
from filled
union all
select instrument_id, month, 'open_interest', 'repetition', first_day, last_day, n, format('the same {} for {} hours: carried forward', unit, value)
from still
union all
select instrument_id, month, 'open_interest', 'unit', first_day, last_day, n,
    format('{:.3g} USD at the median, {:.3g} times a day''s volume{}: coins, contracts or thousands for US dollars?', oi_usd, value,
        coalesce(format(' and {:.3g} times the asset''s other venues', share), ''))
from turnover
union all
select instrument_id, month, 'open_interest', 'unit', first_day, last_day, n,
    format('changes by more than the volume in {} of {} hours, by {:.3g} times at the median: another unit than the volume''s', value, n, ratio)
from beyond
union all
select instrument_id, month, 'open_interest', case when value between 1.85 and 2.15 or value between 0.46 and 0.54 then 'side' else 'unit' end, first_day, last_day, n,
    format('{:.4g} times the venue''s own value{}', value, case when value between 1.85 and 2.15 then ': both sides are counted' else '' end)
from stated
union all
select instrument_id, month, 'open_interest', case when is_unit then 'unit' else 'side' end, first_day, last_day, n,
    format('{:.3g} times from one hour to the next, beyond the volume: {}', value, case when is_unit then 'another unit from then on' else 'one side against two' end)
from steps
union all
select instrument_id, month, 'open_interest', 'consistency', first_day, last_day, n, format('its price (US dollars over coins) is {:.6g} times the last price', value)
from marks
union all
select i.instrument_id, i.month, 'open_interest', 'time shift', l.first_day, l.last_day, l.n,
    format('changes come {} hours {} than the volume that makes them', abs(l.value), case when l.value > 0 then 'later' else 'earlier' end)
from late as l
inner join instruments as i using (venue, month)
