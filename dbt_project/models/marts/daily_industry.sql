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
        day,
        count(volume_usd) as venues,
        count(oi_usd) as oi_venues,
        sum(volume_share * volume_share order by venue) as hhi_volume,
        max(volume_share) as top1_volume_share,
        list_sum(list(volume_share order by volume_share desc, venue)[:3]) as top3_volume_share
    from {{ ref('daily_venues') }}
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
    c.top3_volume_share
from totals as t
inner join concentration as c using (day)
