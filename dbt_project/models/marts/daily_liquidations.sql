with listed as (
    select
        hour::date as day,
        asset,
        venue,
        sum(size_usd order by hour) filter (liquidated_side = 'long') as long_usd,
        sum(size_usd order by hour) filter (liquidated_side = 'short') as short_usd,
        count(*) = count(size_usd) and count(liquidated_side) > 0 as is_known
    from {{ ref('hourly_liquidations') }}
    group by all
),

venues as (
    select
        d.day,
        d.base_asset as asset,
        d.venue,
        bool_and(c.comparable > 0 and d.liq_long_usd is not null) as is_complete,
        -- An instrument without a trade needs no open interest.
        case when bool_and(d.oi_usd is not null or coalesce(d.volume_usd = 0, false)) then sum(d.oi_usd order by d.instrument_id) end as oi_usd
    from {{ ref('int_daily') }} as d
    inner join {{ ref('int_coverage') }} as c on d.instrument_id = c.instrument_id and d.day = c.day and c.dataset = 'liquidations'
    group by all
)

select
    l.day,
    l.asset,
    {%- for kind, is_kind in {'complete': 'l.is_known and v.is_complete', 'lower_bound': 'l.is_known and not v.is_complete'}.items() %}
    sum(l.long_usd order by l.venue) filter ({{ is_kind }}) as {{ kind }}_long_usd,
    sum(l.short_usd order by l.venue) filter ({{ is_kind }}) as {{ kind }}_short_usd,
    count(*) filter ({{ is_kind }}) as {{ kind }}_venues,
    sum(coalesce(l.long_usd, 0) + coalesce(l.short_usd, 0) order by l.venue) filter ({{ is_kind }} and v.oi_usd > 0)
        / sum(v.oi_usd order by l.venue) filter ({{ is_kind }} and v.oi_usd > 0) as {{ kind }}_over_oi,
    {%- endfor %}
    any_value(t.venues_total) as venues_total
from listed as l
inner join venues as v on l.day = v.day and l.asset = v.asset and l.venue = v.venue
inner join (select day, asset, count(*) as venues_total from venues group by all) as t on l.day = t.day and l.asset = t.asset
group by l.day, l.asset
