{{ config(materialized='incremental', meta={'time': 'month', 'follows': ['int_daily_instruments']}) }}
{%- set window = replaced_window() %}
-- What liquidations say beside prices and volume: a row per instrument, month and fault.
with days as (
    select instrument_id, month, venue, base_asset, day, liq_long_usd as longs, liq_short_usd as shorts, close / open - 1 as change, volume_usd
    from ({{ judged(ref('int_daily_instruments'), 'day', window) }})
    where liq_long_usd + liq_short_usd > 0
),

moves as (  -- of the instrument, else of its asset elsewhere
    select d.* exclude (change), coalesce(any_value(d.change), median(o.close / o.open - 1)) as change
    from days as d
    left join {{ ref('int_daily_instruments') }} as o on d.base_asset = o.base_asset and d.day = o.day and o.open > 0
        and {{ needed_to_judge('o.day', window) }}
    group by all
),

sides as (  -- a fall closes long positions: over a venue's days of 2 % and more, most of what is closed is on the wrong side
    select venue, month, count(*) as n, count(*) filter ((longs - shorts) * change < 0) as right_side, min(day) as first_day, max(day) as last_day
    from moves
    where abs(change) > 0.02
    group by all
    having n >= 8 and right_side < 0.25 * n
),

sizes as (
    select instrument_id, month, median((longs + shorts) / volume_usd) as value, count(*) as n, min(day) as first_day, max(day) as last_day
    from days
    where volume_usd > 0
    group by all
    having n >= 3 and value > 0.5
),

prices as (
    select l.instrument_id, l.liquidated_at, l.price / c.close as ratio
    from {{ ref('int_liquidations_converted') }} as l
    inner join {{ ref('int_candles_converted') }} as c on l.instrument_id = c.instrument_id and c.opened_at = date_trunc('hour', l.liquidated_at)
    where l.price > 0 and c.close > 0 and {{ needed_to_judge('l.liquidated_at', window) }} and {{ needed_to_judge('c.opened_at', window) }}
),

priced as (
    select instrument_id, month, median(ratio) as value, count(*) as n, min(liquidated_at)::date as first_day, max(liquidated_at)::date as last_day
    from ({{ judged('prices', 'liquidated_at', window) }})
    group by all
    having n >= 10 and abs(ln(value)) > ln(1.2)
)

select d.instrument_id, d.month, 'liquidations' as dataset, 'side' as kind, s.first_day, s.last_day, s.n,
    format('on {} of {} days that moved by 2 % and more, most liquidations are of the side that gained: long and short are swapped', s.n - s.right_side, s.n) as finding
from sides as s
inner join (select distinct venue, instrument_id, month from days) as d using (venue, month)
union all
select instrument_id, month, 'liquidations', 'unit', first_day, last_day, n, format('{:.3g} times the day''s volume', value)
from sizes
union all
select instrument_id, month, 'liquidations', 'unit', first_day, last_day, n, format('prices are {:.3g} times the last price', value)
from priced
