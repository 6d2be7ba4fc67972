{{ config(materialized='incremental', meta={'time': 'day', 'follows': ['int_daily', 'int_coverage', 'hourly_liquidations']}) }}
{%- set window = replaced_window() %}
with listed as (
    select
        hour::date as day,
        asset,
        venue,
        {{ sum_of("size_usd", "liquidated_side = 'long'") }} as long_usd,
        {{ sum_of("size_usd", "liquidated_side = 'short'") }} as short_usd,
        count(*) = count(size_usd) and count(liquidated_side) > 0 as is_known
    from {{ ref('hourly_liquidations') }}
    where {{ in_window('hour', window) }}
    group by all
),

venues as (
    select
        d.day,
        d.base_asset as asset,
        d.venue,
        bool_and(c.comparable > 0 and d.liq_long_usd is not null) as is_complete,
        -- An instrument without a trade needs no open interest.
        case when bool_and(d.oi_usd is not null or coalesce(d.volume_usd = 0, false)) then {{ sum_of('d.oi_usd') }} end as oi_usd
    from {{ ref('int_daily') }} as d
    inner join {{ ref('int_coverage') }} as c on d.instrument_id = c.instrument_id and d.day = c.day and c.dataset = 'liquidations'
    where {{ in_window('d.day', window) }} and {{ in_window('c.day', window) }}
    group by all
),

assets as (
    select
        v.day,
        v.asset,
        v.venue,
        case when l.is_known then l.long_usd end as long_usd,
        case when l.is_known then l.short_usd end as short_usd,
        l.day is not null as is_listed,
        coalesce(l.is_known, false) as is_known,
        coalesce(l.is_known and v.is_complete, false) as is_complete,
        -- Of a ratio, the same venues and assets are above and below.
        case when l.is_known and v.oi_usd > 0 then coalesce(l.long_usd, 0) + coalesce(l.short_usd, 0) end as usd_with_oi,
        case when l.is_known and v.oi_usd > 0 then v.oi_usd end as oi_usd
    from venues as v
    left join listed as l on v.day = l.day and v.asset = l.asset and v.venue = l.venue
),

parts as (
    select * from assets
    union all by name
    select
        day,
        'MARKET' as asset,
        venue,
        {%- for measure in ('long_usd', 'short_usd', 'usd_with_oi', 'oi_usd') %}
        {{ sum_of(measure) }} as {{ measure }},
        {%- endfor %}
        bool_or(is_listed) as is_listed,
        bool_or(is_known) as is_known,
        bool_and(is_complete) as is_complete
    from assets
    group by day, venue
)

select
    day,
    asset,
    {%- for kind, is_kind in {'complete': 'is_complete', 'lower_bound': 'is_known and not is_complete'}.items() %}
    {{ sum_of('long_usd', is_kind) }} as {{ kind }}_long_usd,
    {{ sum_of('short_usd', is_kind) }} as {{ kind }}_short_usd,
    count(*) filter ({{ is_kind }}) as {{ kind }}_venues,
    {{ sum_of('oi_usd', is_kind) }} as {{ kind }}_oi_usd,
    {{ sum_of('usd_with_oi', is_kind) }} / {{ sum_of('oi_usd', is_kind) }} as {{ kind }}_over_oi,
    {%- endfor %}
    count(*) as venues_total
from parts
group by day, asset
having bool_or(is_listed)
