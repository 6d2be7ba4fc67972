{{ config(materialized='incremental', meta={'time': 'day', 'follows': ['int_daily', 'int_coverage']}) }}
{%- set window = replaced_window() %}
with days as (
    select
        d.day,
        d.base_asset as asset,
        d.venue,
        count(*) as instruments,
        {{ sum_of('d.volume_usd') }} as volume_usd,
        {{ sum_of('d.oi_usd') }} as oi_usd,
        {{ sum_of('d.liq_long_usd') }} as liq_long_usd,
        {{ sum_of('d.liq_short_usd') }} as liq_short_usd,
        case when count(d.liq_long_usd) > 0 then bool_and(c.comparable > 0 and d.liq_long_usd is not null) end as liq_is_complete
    from {{ ref('int_daily') }} as d
    inner join {{ ref('int_coverage') }} as c on d.instrument_id = c.instrument_id and d.day = c.day and c.dataset = 'liquidations'
    where {{ in_window('d.day', window) }}
    group by all
)

select
    days.*,
    f.instrument_id as funding_instrument_id,
    f.funding_8h,
    f.charged as funding_charged
from days
left join (select * from {{ ref('int_venue_funding') }} where {{ in_window('day', window) }}) as f using (day, asset, venue)
