-- Weights are the traded volume of the thirty days before, or the open interest of the day before: nothing of the day itself decides how
-- much an asset counts. A table of its own, so that sums over `daily_assets` count no asset twice.
{%- set by_volume = ['realised_vol_1d', 'realised_vol_7d', 'range_vol_1d', 'range_vol_7d', 'return_1d', 'low_vs_prev_close', 'basis'] %}
{%- set by_oi = [
    'oi_change_1d', 'funding_8h', 'funding_8h_equal', 'funding_weight_known', 'oi_to_volume', 'liq_over_oi', 'liq_complete_over_oi',
    'liq_complete_oi_share', 'liq_at_least_over_oi'
] %}
with assets as (
    select
        *,
        coalesce({{ sum_of('volume_usd', over='month_before') }} / nullif(count(volume_usd) over month_before, 0), 0) as volume_weight,
        coalesce(case when lag(day) over series = day - 1 then lag(oi_usd) over series end, 0) as oi_weight,
        case when lag(day) over series = day - 1 then high / lag(close) over series - 1 end as high_vs_prev_close
    from {{ ref('daily_assets') }}
    window
        series as (partition by asset order by day),
        month_before as (partition by asset order by day range between interval 30 days preceding and interval 1 day preceding)
),

days as (
    select
        day,
        {%- for column in by_volume + ['high_vs_prev_close'] %}
        {{ mean_by(column, 'volume_weight') }} as {{ column }},
        {%- endfor %}
        {%- for column in by_oi %}
        {{ mean_by(column, 'oi_weight') }} as {{ column }},
        {%- endfor %}
        {%- for column in ('volume_usd', 'oi_usd', 'liq_long_usd', 'liq_short_usd') %}
        {{ sum_of(column) }} as {{ column }},
        {%- endfor %}
        {%- for column in ('price', 'funding', 'oi', 'liquidations', 'liquidations_listed') %}
        {{ sum_of('coverage_' ~ column) }} / count(coverage_{{ column }}) as coverage_{{ column }},
        {%- endfor %}
        {%- for column in ('venues_total', 'price_venues', 'funding_venues', 'oi_venues', 'liq_venues') %}
        max({{ column }}) as {{ column }},
        {%- endfor %}
        case
            when count(funding_8h) > 0
                then case when coalesce(sum(oi_weight) filter (funding_8h is not null), 0) > 0 then 'oi' else 'equal' end
        end as funding_weighting,
        count(close) > 0 as is_priced,
        any_value(origin) as origin
    from assets
    group by day
),

prices as (
    select
        *,
        close_before * (1 + high_vs_prev_close) as high,
        close_before * (1 + low_vs_prev_close) as low
    from (
        select *, case when lag(day) over (order by day) = day - 1 then lag(close) over (order by day) end as close_before
        from (
            select *, case when is_priced then round(100 * {{ product_of('1 + coalesce(return_1d, 0)', 'past') }}, 9) end as close
            from days
            window past as (order by day)
        )
    )
),

growth as (
    {{ levels_and_growth(
        'select day, asset, volume_usd_chained as volume_usd, oi_usd_chained as oi_usd from assets', [], 'asset', ['volume_usd', 'oi_usd']
    ) }}
),

chained as (
    {{ chained_levels('growth', [], ['volume_usd', 'oi_usd']) }}
)

select
    p.* exclude (high_vs_prev_close, is_priced, close_before),
    'MARKET' as asset,
    l.volume_usd_chained,
    l.oi_usd_chained,
    null::double as oi_base,
    case when count(p.high) over week = 7 then least(p.close / max(p.high) over week - 1, 0) end as drawdown_7d,
    null::varchar as oi_venue_names,
    {{ trust_of_asset('p') }}
from prices as p
left join chained as l using (day)
where (select count(distinct asset) from assets) > 1
window week as (order by p.day range between interval 6 days preceding and current row)
qualify p.close is not null
