with days as (
    select
        day,
        venue,
        {{ sum_of('volume_usd') }} as volume_usd,
        {{ sum_of('oi_usd') }} as oi_usd,
        {{ weighted_funding() }} as funding_8h,
        {{ funding_weighting() }} as funding_weighting,
        count(*) as instruments
    from {{ ref('int_daily') }}
    group by all
)

select
    d.day,
    d.venue,
    d.volume_usd,
    d.oi_usd,
    d.volume_usd / sum(d.volume_usd) over today as volume_share,
    d.oi_usd / sum(d.oi_usd) over today as oi_share,
    d.funding_8h,
    d.funding_weighting,
    d.instruments,
    c.coverage_price,
    c.coverage_funding,
    c.coverage_oi,
    c.coverage_liquidations
from days as d
left join ({{ coverage_by('day, venue') }}) as c using (day, venue)
window today as (partition by d.day order by d.venue rows between unbounded preceding and unbounded following)
