{{ config(materialized='incremental', meta={'time': 'day', 'follows': ['int_daily', 'int_coverage']}) }}
{%- set window = replaced_window() %}
-- What a day's rows alone say of each venue.
with days as (
    select
        day,
        venue,
        {{ sum_of('volume_usd') }} as volume_usd,
        {{ sum_of('oi_usd') }} as oi_usd,
        {{ mean_funding() }},
        -- over the instruments where both are known
        {{ sum_of('volume_usd', 'oi_usd > 0') }} / {{ sum_of('oi_usd', 'volume_usd is not null') }} as turnover,
        count(*) as instruments
    from {{ ref('int_daily') }}
    where {{ in_window('day', window) }}
    group by all
)

select d.*, c.* exclude (day, venue, venues_total)
from days as d
left join ({{ coverage_by('day, venue', window) }}) as c using (day, venue)
