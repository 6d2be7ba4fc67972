{{ config(materialized='incremental', meta={'time': 'month', 'follows': ['int_daily_instruments']}) }}
{%- set window = replaced_window() %}
-- What bars and volumes say of themselves and of each other: a row per instrument, month and fault. No market does this; thresholds leave room.
with hours as materialized (
    select
        instrument_id, base_asset, opened_at, high, low, close, mark_close, volume_base, volume_usd, volume_usd_method,
        opened_at::date as day,
        log10(close / {{ value_before('close', 'opened_at') }}) as step,
        case when opened_at - lag(opened_at) over series = interval 1 hour then ln(close / lag(close) over series) end as change,
        date_diff('hour', {{ value_before('opened_at', 'opened_at') }}, opened_at) as gap,
        {{ value_before('volume_base', 'opened_at') }} as volume_before
    from {{ ref('int_candles_converted') }}
    where close > 0 and {{ needed_to_judge('opened_at', window) }}
    window series as (partition by instrument_id order by opened_at)
),

bars as ({{ judged('hours', 'opened_at', window) }}),

days as ({{ judged(ref('int_daily_instruments'), 'day', window) }}),

{%- set is_new %}(change <> 0 or coalesce(gap, 2) > 1 or volume_base <> volume_before){% endset %}

series as (
    select instrument_id, month, count(*) as rows, count(*) filter ({{ is_new }}) as new_rows, count(*) filter (volume_base = 0) as quiet_rows
    from bars
    group by all
),

-- granularity: stamps several hours apart
gaps as (
    select instrument_id, month, mode(gap) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from bars
    group by all
    having n >= 10 and value >= 2 and quantile_disc(gap, 0.04) = value and quantile_disc(gap, 0.96) = value
),

-- granularity: bars that change only at every fourth, eighth or last hour of the day
changes as (
    select instrument_id, month, day, k.step, date_diff('hour', timestamp '1970-01-01', opened_at) % k.step as phase
    from bars
    cross join (values (4), (8), (12), (24)) as k(step)
    where gap = 1 and change <> 0
),

filled as (
    select instrument_id, month, max(step) as value, max(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from ({{ changes_in_step('changes') }})
    inner join series using (instrument_id, month)
    where n >= 10 and rows >= 3 * n
    group by all
),

-- shift: the hours of the asset's largest moves, held against the other venues' within 12 hours
moves as materialized (
    {%- set moves %}(
        select a.instrument_id, a.opened_at, median(b.change) as others
        from hours as a
        inner join hours as b on a.base_asset = b.base_asset and a.opened_at = b.opened_at and a.instrument_id <> b.instrument_id
        where a.change is not null and b.change is not null
        group by all
    ){% endset %}
    {{ judged(moves, 'opened_at', window) }}
),

largest as materialized (
    select instrument_id, month, others, date_diff('hour', timestamp '1970-01-01', opened_at) as hour
    from moves
    where others <> 0
    qualify row_number() over (partition by instrument_id, month, date_trunc('month', opened_at) order by abs(others) desc, opened_at) <= 24
),

around as materialized (select *, hour + k.hours as at_hour from largest cross join (select unnest(range(-12, 13)) as hours) as k),

hourly as materialized (
    select instrument_id, month, day, change, date_diff('hour', timestamp '1970-01-01', opened_at) as at_hour from bars where change is not null
),

lagged as (
    select a.instrument_id, a.month, a.hours, {{ sum_of('b.change * a.others', bits=100) }} / {{ sum_of('a.others * a.others', bits=100) }} as agreement, count(*) as n,
        min(b.day) as first_day, max(b.day) as last_day
    from around as a
    inner join hourly as b on a.instrument_id = b.instrument_id and a.month = b.month and a.at_hour = b.at_hour
    group by all
),

shifted as (
    select instrument_id, month, max_by(hours, (agreement, hours)) filter (agreement is not null) as value, max(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from lagged
    group by all
    having n >= 20 and max(agreement) > 0.5 and value <> 0 and coalesce(max(agreement) filter (hours = 0), 0) < 0.5 * max(agreement)
),

-- unit of a price, and two coins under one name: closes over the other instruments' of the asset
ratios as (
    select a.instrument_id, a.month, a.day, a.close / median(b.close) as ratio, count(*) as others
    from days as a
    inner join days as b on a.base_asset = b.base_asset and a.day = b.day and a.month = b.month and a.instrument_id <> b.instrument_id
    where a.close > 0 and b.close > 0
    group by a.instrument_id, a.month, a.day, a.close
),

priced as (
    select
        instrument_id, month, median(ratio) as value, count(*) as n, min(day) as first_day, max(day) as last_day,
        quantile_cont(ratio, 0.9) / quantile_cont(ratio, 0.1) as spread
    from ratios
    group by all
    having n >= 3 and abs(ln(value)) > ln(1.3)
),

-- identity: the price moves by a power of ten and stays there, the coins traded move by its inverse, the dollars go on: a coin redenominated.
-- All before it is another coin.
redenominated as (
    select j.instrument_id, j.month, j.opened_at, '-infinity'::date as first_day, j.day as last_day,
        median(b.close) filter (b.opened_at >= j.opened_at) / median(b.close) filter (b.opened_at < j.opened_at) as value,
        median(b.volume_base) filter (b.opened_at >= j.opened_at) / median(b.volume_base) filter (b.opened_at < j.opened_at) as volumes,
        count(*) as n
    from (select instrument_id, month, opened_at, day, step from bars where abs(step) > 0.9 and abs(step - round(step)) < 0.08) as j
    inner join bars as b on j.instrument_id = b.instrument_id and j.month = b.month and b.opened_at >= j.opened_at - interval 36 hour and b.opened_at < j.opened_at + interval 24 hour
    group by j.instrument_id, j.month, j.opened_at, j.day, j.step
    having n >= 24 and abs(log10(value) - round(j.step)) < 0.15 and abs(log10(nullif(volumes, 0)) + round(j.step)) < 0.7
),

-- unit of volume: against the other venues, and against what all markets together trade. A large venue trades a hundred times what a small one
-- does: it turns its own open interest over no more often than others, or two others are needed where that isn't known.
traded as (
    select a.instrument_id, a.month, a.day, a.volume_usd, a.volume_usd / nullif(a.oi_usd, 0) as turnover, max(b.volume_usd) as others,
        count(distinct b.venue) filter (b.volume_usd > 0) as venues
    from days as a
    left join days as b on a.base_asset = b.base_asset and a.day = b.day and a.month = b.month and a.instrument_id <> b.instrument_id
    where a.volume_usd > 0
    group by a.instrument_id, a.month, a.day, a.volume_usd, a.oi_usd
),

volumes as (
    select instrument_id, month, median(volume_usd / others) as value, median(volume_usd) as volume_usd, count(*) as n,
        min(day) as first_day, max(day) as last_day
    from traded
    group by all
    having n >= 3 and (
        (value > 100 and median(volume_usd) > 1e6 and coalesce(median(turnover) > 200, max(venues) > 1)) or median(volume_usd) > 1e12
    )
),

-- consistency: the price that USD over coins makes lies in the bar
vwaps as (
    select instrument_id, month, median(volume_usd / volume_base / close) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from bars
    where volume_base > 0 and volume_usd > 0 and volume_usd_method = 'quote_turnover'
    group by all
    having n >= 24 and count(*) filter (volume_usd / volume_base not between 0.95 * low and 1.05 * high) > 0.5 * n
),

-- consistency: the mark price against the last price
marks as (
    select instrument_id, month, median(mark_close / close) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from bars
    where mark_close > 0
    group by all
    having n >= 24 and abs(value - 1) > 0.05
),

-- repetition: the same close and the same volume for a day: of 24 such hours 23 are like the one before
stretches as (
    select instrument_id, month, day, volume_base, sum({{ is_new }}::integer) over (partition by instrument_id, month order by opened_at) as stretch
    from bars
    where (instrument_id, month) in (select (instrument_id, month) from series where rows - new_rows >= 23)
),

flat as (
    select instrument_id, month, max(n) as value, sum(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from (
        select instrument_id, month, stretch, count(*) as n, min(day) as first_day, max(day) as last_day
        from stretches
        group by all
        having n >= 24 and sum(volume_base) > 0
    )
    group by all
),

-- repetition: hours without a trade for five days, in a series that otherwise trades, of an asset that trades elsewhere
quiet as (
    select instrument_id, month, max(n) as value, sum(n) as n, min(first_day) as first_day, max(last_day) as last_day
    from (
        select instrument_id, month, stretch, count(*) as n, min(day) as first_day, max(day) as last_day
        from (
            select instrument_id, month, day, volume_base, sum((volume_base <> 0)::integer) over (partition by instrument_id, month order by opened_at) as stretch
            from bars
            where (instrument_id, month) in (select (instrument_id, month) from series where quiet_rows >= 120 and quiet_rows < 0.6 * rows)
        )
        where volume_base = 0
        group by all
        having n >= 120
    )
    where (instrument_id, month) in (select (instrument_id, month) from moves)
    group by all
)

select instrument_id, month, 'candles' as dataset, 'granularity' as kind, first_day, last_day, n,
    format('a bar every {} hours, where one an hour is due', value) as finding
from gaps
union all
select instrument_id, month, 'candles', 'granularity', first_day, last_day, n, format('prices change only every {} hours: longer bars filled to hours', value)
from filled
union all
select instrument_id, month, 'candles', 'time shift', first_day, last_day, n, format('large moves come {} hours {} than at the asset''s other venues{}', abs(value),
    case when value > 0 then 'later' else 'earlier' end, case when value = 1 then ': bars stamped at their end' else '' end)
from shifted
union all
select instrument_id, month, 'candles', case when spread < 1.03 then 'unit' else 'identity' end, first_day, last_day, n,
    case when spread < 1.03 then format('prices are {:.6g} times those of the asset''s other instruments', value)
        else format('prices move apart from those of the asset''s other instruments ({:.6g} times at the median): another coin', value) end
from priced
union all
select instrument_id, month, 'candles', 'identity', first_day, last_day, n,
    format('the price is {:.4g} times that before {}, and the coins traded {:.4g} times: a coin redenominated, another one before', value,
        strftime(opened_at, '%Y-%m-%d %H:%M'), volumes)
from redenominated
union all
select instrument_id, month, 'volume', 'unit', first_day, last_day, n,
    format('a day''s volume is {:.3g} USD{}', volume_usd, coalesce(format(', {:.3g} times that of the asset''s largest other venue', value), ''))
from volumes
union all
select instrument_id, month, 'volume', 'consistency', first_day, last_day, n, format('volume_usd over volume_base is {:.6g} times the price', value)
from vwaps
union all
select instrument_id, month, 'mark', 'consistency', first_day, last_day, n, format('the mark price is {:.6g} times the last price', value)
from marks
union all
select instrument_id, month, 'candles', 'repetition', first_day, last_day, n, format('the same close and volume for {} hours: carried forward', value)
from flat
union all
select instrument_id, month, 'volume', 'repetition', first_day, last_day, n, format('no trade for {} hours, in a series that trades in most', value)
from quiet
