{#- Levels are chained since the first day. What is said of a day that isn't over depends on the calendar. -#}
{{ config(
    materialized='incremental', meta={'time': 'day', 'follows': ['int_daily_assets', 'daily_liquidations', 'int_calendar'], 'look_ahead': 'always'}
) }}
{%- set window = replaced_window() %}
with chained as (
    {{ chained_levels(ref('int_daily_assets'), ['asset'], ['volume_usd', 'oi_usd']) }}
),

with_past as (
    select
        *,
        -- Of the day before, which is not always the row before.
        case when lag(day) over series = day - 1 then lag(close) over series end as close_before,
        case when count(high) over week = 7 then max(high) over week end as high_7d
    from {{ ref('int_daily_assets') }}
    where {{ in_window('day', window, margin=144) }}
    window
        series as (partition by asset order by day),
        week as (partition by asset order by day range between interval 6 days preceding and current row)
)

select
    t.day,
    t.asset,
    t.close,
    t.high,
    t.low,
    t.volume_usd,
    l.volume_usd_chained,
    t.oi_usd,
    l.oi_usd_chained,
    t.oi_base,
    t.oi_change_1d,
    t.funding_8h,
    t.funding_weighting,
    t.funding_8h_equal,
    t.funding_weight_known,
    t.liq_long_usd,
    t.liq_short_usd,
    t.realised_vol_1d,
    t.realised_vol_7d,
    t.range_vol_1d,
    t.range_vol_7d,
    t.close / t.close_before - 1 as return_1d,
    t.close / t.high_7d - 1 as drawdown_7d,
    t.low / t.close_before - 1 as low_vs_prev_close,
    t.basis,
    t.oi_to_volume,
    t.liq_over_oi,
    f.complete_over_oi as liq_complete_over_oi,
    case when t.oi_usd > 0 then least(coalesce(f.complete_oi_usd, 0) / t.oi_usd, 1) end as liq_complete_oi_share,
    case when f.complete_oi_usd is not null or f.lower_bound_oi_usd is not null then (
        coalesce(f.complete_over_oi * f.complete_oi_usd, 0) + coalesce(f.lower_bound_over_oi * f.lower_bound_oi_usd, 0)
    ) / nullif(t.oi_usd, 0) end as liq_at_least_over_oi,
    t.venues_total,
    t.price_venues,
    t.funding_venues,
    t.oi_venues,
    t.liq_venues,
    t.oi_venue_names,
    t.coverage_price,
    t.coverage_funding,
    t.coverage_oi,
    t.coverage_liquidations,
    t.coverage_liquidations_listed,
    {{ trust_of_asset('t') }},
    r.origin
from with_past as t
left join chained as l on t.day = l.day and t.asset = l.asset
left join {{ ref('daily_liquidations') }} as f on t.day = f.day and t.asset = f.asset
cross join {{ ref('stg_meta__scope') }} as r
where {{ in_window('t.day', window) }}
