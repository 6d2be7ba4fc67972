{#
  Weeks (from Monday, ISO) and months of the daily tables. They are views of these, which are small, so that they equal their sums whatever was
  loaded last, and cost a run nothing until publishing, which writes the periods that changed. A period's coverage counts a day that is not
  loaded as zero.
#}

{# The key of a period, its days, and whether all of them are loaded and over. `period` is `week` or `month`. #}
{% macro days_of_period(period) -%}
    date_trunc('{{ period }}', day)::date as {{ period }},
    count(*) as days,
    date_diff('day', date_trunc('{{ period }}', any_value(day)), date_trunc('{{ period }}', any_value(day)) + interval 1 {{ period }}) as days_of_period,
    days = days_of_period and max(day) < (select as_of from {{ ref('stg_meta__scope') }})::date as is_whole
{%- endmacro %}

{# Sums of flows, with the days on which they are known. #}
{% macro sums_of_period() -%}
    {{ sum_of('volume_usd') }} as volume_usd,
    count(volume_usd) as volume_days
{%- endmacro %}

{# Levels at the end: those of the last day on which they are known, and that day. #}
{% macro levels_of_period(levels) -%}
    {%- for level in levels %}
    arg_max({{ level }}, day) as {{ level }},
    {%- endfor %}
    max(day) filter ({{ levels[0] }} is not null) as oi_day
{%- endmacro %}

{# Funding: each day counts the same. `funding_charged` is what a long paid over the known days. #}
{% macro funding_of_period() -%}
    {{ sum_of('funding_8h', bits=100) }} / nullif(count(funding_8h), 0) as funding_8h,
    3 * {{ sum_of('funding_8h', bits=100) }} as funding_charged,
    count(funding_8h) as funding_days,
    {{ sum_of('funding_weight_known') }} / nullif(count(funding_8h), 0) as funding_weight_known
{%- endmacro %}

{% macro liquidations_of_period() -%}
    {{ sum_of('liq_long_usd') }} as liq_long_usd,
    {{ sum_of('liq_short_usd') }} as liq_short_usd,
    count(liq_long_usd) as liq_days
{%- endmacro %}

{% macro coverage_of_period() -%}
    {%- for of in ('price', 'funding', 'oi', 'liquidations', 'liquidations_listed') %}
    least(coalesce({{ sum_of('coverage_' ~ of) }}, 0) / days_of_period, 1) as coverage_{{ of }}
    {{- "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# The columns of trust beside a period's numbers. #}
{% macro trust_of_period(liquidations=true) -%}
    {%- set days = "case when not is_whole then 'part: ' || days || ' of ' || days_of_period || ' days' end" -%}
    {{ trust('volume_usd', 'coverage_price', 'bars', notes=[days]) }} as volume_trust,
    {{ trust('oi_usd', 'coverage_oi', 'hours', notes=["case when oi_day < last_day then 'part: of ' || oi_day end", days]) }} as oi_trust,
    {{ trust('funding_8h', 'coverage_funding', 'settlements', notes=[estimated_weights('funding_weight_known'), days]) }} as funding_trust
    {%- if liquidations %},
    {{ trust('liq_long_usd', 'coverage_liquidations', 'lists complete', notes=[
        "case when coverage_liquidations < 1 then floor(1000 * coverage_liquidations_listed) / 1000 || ' listed' end", days
    ], class='lower bound') }} as liquidations_trust
    {%- endif %}
{%- endmacro %}

{% macro assets_by(period) -%}
select * exclude (last_day), {{ trust_of_period() }}
from (
    select
        {{ days_of_period(period) }},
        asset,
        max(day) as last_day,
        arg_max(close, day) as close,
        max(high) as high,
        min(low) as low,
        -- from the close before the first day that is loaded to the last close
        arg_max(close, day) / arg_min(close / (1 + return_1d), day) - 1 as return_over_days,
        {{ sums_of_period() }},
        {{ sum_of('volume_usd_chained') }} as volume_usd_chained,
        {{ levels_of_period(['oi_usd', 'oi_usd_chained']) }},
        {{ funding_of_period() }},
        {{ liquidations_of_period() }},
        sqrt({{ sum_of('realised_vol_1d * realised_vol_1d') }} / nullif(count(realised_vol_1d), 0)) as realised_vol,
        count(realised_vol_1d) as realised_vol_days,
        max(venues_total) as venues_total,
        {{ coverage_of_period() }},
        any_value(origin) as origin
    from {{ ref('daily_assets') }}
    group by date_trunc('{{ period }}', day), asset
)
{%- endmacro %}

{% macro venues_by(period) -%}
select * exclude (last_day), {{ trust_of_period(liquidations=false) }}
from (
    select
        {{ days_of_period(period) }},
        venue,
        max(day) as last_day,
        {{ sums_of_period() }},
        -- over the days on which shares are known: without one on which a large venue is absent
        {{ sum_of('volume_usd', 'volume_share is not null') }} / nullif({{ sum_of('day_volume_usd', 'volume_share is not null') }}, 0)
            as volume_share,
        count(volume_share) as volume_share_days,
        {{ levels_of_period(['oi_usd', 'oi_share']) }},
        {{ funding_of_period() }},
        count(suspect_volume_reason) as suspect_volume_days,
        max(instruments) as instruments,
        {{ coverage_of_period() }}
    from (select *, {{ sum_of('volume_usd', over='today') }} as day_volume_usd from {{ ref('daily_venues') }} window today as (partition by day))
    group by date_trunc('{{ period }}', day), venue
)
{%- endmacro %}

{% macro industry_by(period) -%}
{%- set segments = ('cex', 'dex', 'regulated', 'united_states', 'offshore', 'onchain') -%}
select * exclude (last_day), {{ trust_of_period() }}
from (
    select
        {{ days_of_period(period) }},
        max(day) as last_day,
        {{ sums_of_period() }},
        {{ sum_of('volume_usd_chained') }} as volume_usd_chained,
        {{ levels_of_period(['oi_usd', 'oi_usd_chained']) }},
        {{ funding_of_period() }},
        {{ liquidations_of_period() }},
        max(venues) as venues,
        {%- for share in ['hhi_volume', 'top1_volume_share', 'top3_volume_share', 'suspect_volume_share'] %}
        {{ mean_by(share, 'volume_usd') }} as {{ share }},
        {%- endfor %}
        {%- for segment in segments %}
        {{ mean_by(segment ~ '_volume_share', 'volume_usd') }} as {{ segment }}_volume_share,
        arg_max({{ segment }}_oi_share, day) as {{ segment }}_oi_share,
        {%- endfor %}
        count(top1_volume_share) as volume_share_days,
        {{ coverage_of_period() }}
    from {{ ref('daily_industry') }}
    group by date_trunc('{{ period }}', day)
)
{%- endmacro %}
