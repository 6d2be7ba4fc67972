{#- Margin: the day after, which grows from this one. -#}
{{ config(materialized='incremental', meta={'time': 'day', 'look_ahead': 24, 'follows': ['int_daily', 'int_coverage']}) }}
{%- set window = replaced_window() %}
-- What a day's rows alone say of all venues and assets together.
with totals as (
    select
        day,
        {{ sum_of('volume_usd') }} as volume_usd,
        {{ sum_of('oi_usd') }} as oi_usd,
        {{ mean_funding() }},
        {{ sum_of('liq_long_usd') }} as liq_long_usd,
        {{ sum_of('liq_short_usd') }} as liq_short_usd
    from {{ ref('int_daily') }}
    where {{ in_window('day', window) }}
    group by all
),

grown as (
    {%- set parts %}
    select day, venue || ' ' || base_asset as part, {{ sum_of('volume_usd') }} as volume_usd, {{ sum_of('oi_usd') }} as oi_usd
    from {{ ref('int_daily') }}
    where {{ in_window('day', window, margin=24) }}
    group by all
    {%- endset %}
    {{ levels_and_growth(parts, [], 'part', ['volume_usd', 'oi_usd']) }}
)

select t.*, g.volume_usd_growth, g.oi_usd_growth, c.* exclude (day, venues_total)
from totals as t
left join grown as g using (day)
left join ({{ coverage_by('day', window) }}) as c using (day)
