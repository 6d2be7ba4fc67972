-- A day is chosen by its own hours alone. The median of the days before would compare days on which other venues were heard.
with hours as (
    select hour, asset, {{ sum_of('size_usd') }} as usd, count(distinct venue) filter (seconds_covered > 0) as venues_covered
    from {{ ref('hourly_liquidations') }}
    group by all
),

days as (select distinct hour::date as day, asset from hours where usd >= {{ var('cascade_hour_usd') }}),

minutes as (
    select
        d.day,
        d.base_asset as asset,
        date_trunc('minute', e.liquidated_at) as minute,
        {%- for side in ('long', 'short') %}
        coalesce({{ sum_of('e.size_usd', "e.liquidated_side = '" ~ side ~ "'") }}, 0) as {{ side }}_usd,
        {%- endfor %}
        coalesce({{ sum_of('e.size_usd', "e.liquidated_side is not null and e.completeness_class = 'complete'") }}, 0) as complete_usd,
        count(*) as events,
        count(*) - count(e.size_usd) as events_unsized
    from {{ ref('int_liquidations_converted') }} as e
    inner join {{ ref('int_liquidations_due') }} as d on e.instrument_id = d.instrument_id and e.liquidated_at::date = d.day
    inner join days as x on d.day = x.day and d.base_asset = x.asset
    group by all
)

select
    m.day,
    m.asset,
    m.minute,
    m.long_usd,
    m.short_usd,
    m.complete_usd,
    m.events,
    m.events_unsized,
    sum(m.long_usd + m.short_usd) over so_far / nullif(sum(m.long_usd + m.short_usd) over today, 0) as cumulated_share,
    sum(m.complete_usd) over so_far / nullif(sum(m.complete_usd) over today, 0) as cumulated_share_complete,
    h.venues_covered
from minutes as m
left join hours as h on m.asset = h.asset and date_trunc('hour', m.minute) = h.hour
window
    so_far as (partition by m.asset, m.day order by m.minute),
    today as (partition by m.asset, m.day order by m.minute rows between unbounded preceding and unbounded following)
