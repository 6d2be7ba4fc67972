{%- set segments = {'cex': 'kind', 'dex': 'kind', 'regulated': 'kind', 'united_states': 'region', 'offshore': 'region', 'onchain': 'region'} %}
with totals as (
    select
        day,
        {{ sum_of('volume_usd') }} as volume_usd,
        {{ sum_of('oi_usd') }} as oi_usd,
        {{ weighted_funding() }} as funding_8h,
        {{ funding_weighting() }} as funding_weighting,
        {{ sum_of('liq_long_usd') }} as liq_long_usd,
        {{ sum_of('liq_short_usd') }} as liq_short_usd
    from {{ ref('int_daily') }}
    group by all
),

concentration as (
    select
        d.day,
        {%- for what in ('volume', 'oi') %}
        count(d.{{ what }}_usd) as {{ 'venues' if what == 'volume' else 'oi_venues' }},
        sum(d.{{ what }}_share * d.{{ what }}_share order by d.venue) as hhi_{{ what }},
        max(d.{{ what }}_share) as top1_{{ what }}_share,
        list_sum(list(d.{{ what }}_share order by d.{{ what }}_share desc, d.venue) filter (d.{{ what }}_share is not null)[:3]) as top3_{{ what }}_share,
        {%- for segment, column in segments.items() %}
        -- nothing on venues of this kind is a share of zero; no known total is none
        case when count(d.{{ what }}_share) > 0
            then coalesce(sum(d.{{ what }}_share order by d.venue) filter (v.{{ column }} = '{{ segment }}'), 0) end as {{ segment }}_{{ what }}_share,
        {%- endfor %}
        {%- endfor %}
        coalesce(sum(d.volume_share order by d.venue) filter (d.volume_doubt is not null), case when count(d.volume_share) > 0 then 0 end) as doubted_volume_share
    from {{ ref('daily_venues') }} as d
    inner join {{ ref('dim_venues') }} as v using (venue)
    group by all
)

select
    t.day,
    t.volume_usd,
    t.oi_usd,
    t.funding_8h,
    t.funding_weighting,
    t.liq_long_usd,
    t.liq_short_usd,
    c.venues,
    c.oi_venues,
    c.hhi_volume,
    c.top1_volume_share,
    c.top3_volume_share,
    c.hhi_oi,
    c.top1_oi_share,
    c.top3_oi_share,
    {%- for segment in segments %}
    c.{{ segment }}_volume_share,
    c.{{ segment }}_oi_share,
    {%- endfor %}
    c.doubted_volume_share
from totals as t
inner join concentration as c using (day)
