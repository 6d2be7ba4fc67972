with days as (
    select
        day,
        base_asset as asset,
        -- The reference price is the median over venues.
        median(close) filter (is_priced) as close,
        median(high) filter (is_priced) as high,
        median(low) filter (is_priced) as low,
        {{ sum_of('volume_usd') }} as volume_usd,
        {{ sum_of('oi_usd') }} as oi_usd,
        {{ sum_of('oi_base') }} as oi_base,
        -- In contracts, so that a fall in price alone is no change; weighted by the coins of the day before.
        {{ sum_of('oi_base_before * oi_growth') }} / {{ sum_of('oi_base_before', 'oi_growth is not null') }} - 1 as oi_change_1d,
        {{ mean_funding() }},
        {{ sum_of('liq_long_usd') }} as liq_long_usd,
        {{ sum_of('liq_short_usd') }} as liq_short_usd,
        median(realised_vol_1d) as realised_vol_1d,
        median(realised_vol_7d) as realised_vol_7d,
        median(range_vol_1d) as range_vol_1d,
        median(range_vol_7d) as range_vol_7d,
        median(basis) filter (is_priced) as basis,
        {{ sum_of('oi_usd', 'volume_usd_7d is not null') }} / nullif({{ sum_of('volume_usd_7d', 'oi_usd is not null') }}, 0) as oi_to_volume,
        {{ sum_of('liq_long_usd + liq_short_usd', 'oi_usd is not null') }} / {{ sum_of('oi_usd', 'liq_long_usd is not null') }} as liq_over_oi,
        count(distinct venue) filter (is_priced) as price_venues,
        count(distinct venue) filter (funding_8h is not null) as funding_venues,
        count(distinct venue) filter (oi_usd is not null) as oi_venues,
        count(distinct venue) filter (liq_long_usd is not null) as liq_venues,
        string_agg(distinct venue, ', ' order by venue) filter (oi_usd is not null) as oi_venue_names
    from {{ ref('int_daily') }}
    group by all
),

chained as (
    {%- set parts %}
    select day, base_asset, venue, {{ sum_of('volume_usd') }} as volume_usd, {{ sum_of('oi_usd') }} as oi_usd
    from {{ ref('int_daily') }} group by all
    {%- endset %}
    {{ chained_levels(parts, ['base_asset'], 'venue', ['volume_usd', 'oi_usd']) }}
),

with_past as (
    select
        *,
        -- Of the day before, which is not always the row before.
        case when lag(day) over series = day - 1 then lag(close) over series end as close_before,
        case when count(high) over week = 7 then max(high) over week end as high_7d
    from days
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
    c.venues_total,
    t.price_venues,
    t.funding_venues,
    t.oi_venues,
    t.liq_venues,
    t.oi_venue_names,
    c.coverage_price,
    c.coverage_funding,
    c.coverage_oi,
    c.coverage_liquidations,
    c.coverage_liquidations_listed,
    r.origin
from with_past as t
left join ({{ coverage_by('day, base_asset') }}) as c on t.day = c.day and t.asset = c.base_asset
left join chained as l on t.day = l.day and t.asset = l.base_asset
left join {{ ref('daily_liquidations') }} as f on t.day = f.day and t.asset = f.asset
cross join {{ ref('stg_meta__scope') }} as r
