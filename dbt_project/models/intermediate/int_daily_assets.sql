{#- Margin: the day after, which grows from this one. -#}
{{ config(materialized='incremental', meta={'time': 'day', 'look_ahead': 24, 'follows': ['int_daily', 'int_coverage']}) }}
{%- set window = replaced_window() %}
-- What a day's rows alone say of each asset: sums and medians over its instruments, growth from the day before, coverage.
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
    where {{ in_window('day', window) }}
    group by all
),

grown as (
    {%- set parts %}
    select day, base_asset, venue, {{ sum_of('volume_usd') }} as volume_usd, {{ sum_of('oi_usd') }} as oi_usd
    from {{ ref('int_daily') }}
    where {{ in_window('day', window, margin=24) }}
    group by all
    {%- endset %}
    {{ levels_and_growth(parts, ['base_asset'], 'venue', ['volume_usd', 'oi_usd']) }}
)

select
    t.*,
    g.volume_usd_growth,
    g.oi_usd_growth,
    c.* exclude (day, base_asset)
from days as t
left join grown as g on t.day = g.day and t.asset = g.base_asset
left join ({{ coverage_by('day, base_asset', window) }}) as c on t.day = c.day and t.asset = c.base_asset
