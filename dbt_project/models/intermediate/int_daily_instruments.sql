{#- Margins: those of funding (241 hours), the time that a settlement pays for (48), and the day that a row falls into. -#}
{{ config(materialized='incremental', meta={'time': 'day', 'look_back': 314, 'look_ahead': 314}) }}
{%- set window = replaced_window() %}
with returns as (
    select
        *,
        opened_at::date as day,
        case when opened_at - lag(opened_at) over series = interval 1 hour then ln(close / lag(close) over series) end as log_return
    from {{ ref('int_candles_converted') }}
    where {{ in_window('opened_at', window, margin=2) }}
    window series as (partition by instrument_id order by opened_at)
),

candles as (
    select
        day,
        instrument_id,
        arg_min(open, opened_at) as open,
        max(high) as high,
        min(low) as low,
        arg_max(close, opened_at) as close,
        {{ sum_of('volume_base') }} as volume_base,
        {{ sum_of('volume_usd') }} as volume_usd,
        arg_max(mark_close, opened_at) as mark_close,
        arg_max(index_close, opened_at) as index_close,
        arg_max(mark_close / index_close - 1, opened_at) as basis,
        count(close) as candles,
        {{ sum_of('log_return * log_return', bits=100) }} as realised_var,
        count(log_return) as returns,
        {{ sum_of('ln(high / low) * ln(high / low)', bits=100) }} / (4 * ln(2)) as range_var,
        count(high / low) as ranges,
        max(_loaded_at) as _loaded_at
    from returns
    group by all
),

funding as (
    -- A settlement counts for each day by the hours of it that it pays for, and as a settlement of the day in which that time ends.
    select
        f.midnight::date as day,
        f.instrument_id,
        {{ sum_of('f.rate_interval * (hours / f.interval_hours)', bits=100) }} as funding_sum,
        {{ sum_of('hours') }} as paid_hours,
        min(f.interval_hours) as funding_interval_hours,
        count(*) filter (f.paid_to <= f.midnight + interval 1 day) as funding_settlements,
        {{ sum_of('o.oi_usd') }} / count(o.oi_usd) as oi_usd_at_funding,
        max(f._loaded_at) as _loaded_at
    from (
        select
            *,
            date_diff('second', greatest(paid_from, midnight), least(paid_to, midnight + interval 1 day)) / 3600 as hours
        from (
            select *, unnest(generate_series(date_trunc('day', paid_from), paid_to - interval 1 microsecond, interval 1 day)) as midnight
            from {{ ref('int_funding_settlements') }}
            where rate_interval is not null and {{ in_window('settled_at', window, margin=73) }}
        )
    ) as f
    left join {{ ref('int_open_interest_converted') }} as o on f.instrument_id = o.instrument_id and f.settled_at = o.observed_at
        and {{ in_window('o.observed_at', window, margin=73) }}
    group by all
),

open_interest as (
    -- The level of a day is that of its last hour, else that of its end, else that of the hour before: like times over venues and days.
    -- A day that isn't over ends with the run's clock.
    select
        day,
        instrument_id,
        arg_min(oi_base, distance) filter (distance is not null) as oi_base,
        arg_min(oi_usd, distance) filter (distance is not null) as oi_usd,
        count(oi_base) filter (observed_at < day + 1) as oi_observations,
        max(_loaded_at) as _loaded_at
    from (
        select
            o.*,
            case date_diff('hour', o.observed_at, least(o.day + interval 1 day, date_trunc('hour', r.as_of) + interval 1 hour))
                when 1 then 0 when 0 then 1 when 2 then 2 end as distance
        from (
            select *, unnest(case when observed_at = date_trunc('day', observed_at) then [observed_at::date, observed_at::date - 1] else [observed_at::date] end) as day
            from {{ ref('int_open_interest_converted') }}
            where {{ in_window('observed_at', window, margin=1) }}
        ) as o
        cross join {{ ref('stg_meta__scope') }} as r
    )
    group by all
    having count(distance) > 0 or oi_observations > 0
),

liquidations as (
    select
        liquidated_at::date as day,
        instrument_id,
        -- An event of unknown size makes the day's sums unknown, not smaller.
        count(*) = count(size_usd) as is_sized,
        case when is_sized then coalesce({{ sum_of('size_usd', "liquidated_side = 'long'") }}, 0) end as liq_long_usd,
        case when is_sized then coalesce({{ sum_of('size_usd', "liquidated_side = 'short'") }}, 0) end as liq_short_usd,
        count(*) as liq_events,
        max(_loaded_at) as _loaded_at
    from {{ ref('int_liquidations_converted') }}
    where {{ in_window('liquidated_at', window) }}
    group by all
),

days as (
    select
        *,
        greatest(c._loaded_at, f._loaded_at, o._loaded_at, l._loaded_at) as loaded_at
    from candles as c
    full join funding as f using (day, instrument_id)
    full join open_interest as o using (day, instrument_id)
    full join liquidations as l using (day, instrument_id)
)

select
    d.day,
    split_part(d.instrument_id, ':', 1) as venue,
    d.instrument_id,
    i.base_asset,
    i.underlying_class,
    d.open,
    d.high,
    d.low,
    d.close,
    d.volume_base,
    d.volume_usd,
    d.funding_sum,
    coalesce(d.funding_settlements, 0) as funding_settlements,
    case when d.paid_hours is not null then least(d.paid_hours, 24) end as funding_hours,  -- least() leaves nulls out
    d.funding_interval_hours,
    d.funding_sum / d.paid_hours * 8 as funding_8h,
    d.oi_base,
    d.oi_usd,
    coalesce(d.oi_observations, 0) as oi_observations,
    d.oi_usd_at_funding,
    d.liq_long_usd,
    d.liq_short_usd,
    coalesce(d.liq_events, 0) as liq_events,
    d.mark_close,
    d.index_close,
    d.basis,
    coalesce(d.candles, 0) as candles,
    d.realised_var,
    coalesce(d.returns, 0) as returns,
    d.range_var,
    coalesce(d.ranges, 0) as ranges,
    d.loaded_at as _loaded_at,
    i._versions
from (select *, day + interval 1 day as ends from days) as d
{{ join_instrument('d', 'd.ends') }}
-- A settlement at the window's start pays for the day before, which isn't loaded.
inner join {{ ref('stg_meta__scope') }} as r on d.day >= r.window_start::date and d.day < r.window_end
where {{ in_window('d.day', window) }}
