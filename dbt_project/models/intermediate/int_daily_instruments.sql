{#- Margins: those of funding (73 hours), the day that a row falls into, and the bar before it. -#}
{{ config(
    materialized='incremental', incremental_strategy='replace_window', on_schema_change='append_new_columns',
    meta={'time': 'day', 'look_back': 98, 'look_ahead': 122}
) }}
{%- set window = replaced_window() %}
{#- Sums are ordered: floating-point addition depends on the order, and tables must be the same twice. -#}
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
        sum(volume_base order by opened_at) as volume_base,
        sum(volume_usd order by opened_at) as volume_usd,
        arg_max(mark_close, opened_at) as mark_close,
        arg_max(index_close, opened_at) as index_close,
        arg_max(mark_close / index_close - 1, opened_at) as basis,
        count(*) as candles,
        sum(log_return * log_return order by opened_at) as realised_var,
        count(log_return) as returns,
        max(_loaded_at) as _loaded_at
    from returns
    group by all
),

funding as (
    select
        case s.value when 'interval_start' then f.settled_at::date else (f.settled_at - interval 1 microsecond)::date end as day,
        f.instrument_id,
        sum(f.rate_interval order by f.settled_at) as funding_sum,
        sum(f.interval_hours order by f.settled_at) as funding_hours,
        min(f.interval_hours) as funding_interval_hours,
        count(*) as funding_settlements,
        sum(o.oi_usd order by f.settled_at) / count(o.oi_usd) as oi_usd_at_funding,
        max(f._loaded_at) as _loaded_at
    from {{ ref('int_funding_settlements') }} as f
    left join {{ ref('int_open_interest_converted') }} as o on f.instrument_id = o.instrument_id and f.settled_at = o.observed_at
    {{ join_fact('s', 'f', 'funding_rates', "'stamp_meaning'", 'f.settled_at') }}
    where {{ in_window('f.settled_at', window, margin=24) }}
    group by all
),

open_interest as (
    select
        observed_at::date as day,
        instrument_id,
        arg_max(oi_base, observed_at) as oi_base,
        arg_max(oi_usd, observed_at) as oi_usd,
        count(oi_base) as oi_observations,
        max(_loaded_at) as _loaded_at
    from {{ ref('int_open_interest_converted') }}
    where {{ in_window('observed_at', window) }}
    group by all
),

liquidations as (
    select
        liquidated_at::date as day,
        instrument_id,
        -- An event of unknown size makes the day's sums unknown, not smaller.
        count(*) = count(size_usd) as is_sized,
        case when is_sized then coalesce(sum(size_usd order by event_id) filter (liquidated_side = 'long'), 0) end as liq_long_usd,
        case when is_sized then coalesce(sum(size_usd order by event_id) filter (liquidated_side = 'short'), 0) end as liq_short_usd,
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
    d.funding_hours,
    d.funding_interval_hours,
    d.funding_sum / d.funding_hours * 8 as funding_8h,
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
    d.loaded_at as _loaded_at,
    i._versions
from (select *, day + interval 1 day as ends from days) as d
{{ join_instrument('d', 'd.ends') }}
where {{ in_window('d.day', window) }}
