{{ config(materialized='view') }}
-- Kinds and regions of venues, side by side. A venue without a number that day is absent; its size is the median of its own days, as in
-- the shares of `daily_venues`.
with venues as (
    select
        d.day,
        d.venue,
        v.kind,
        v.region,
        {%- for measure in ('volume', 'oi') %}
        d.{{ measure }}_usd,
        d.{{ measure }}_share,
        case when d.{{ measure }}_usd is null then median(d.{{ measure }}_usd) over (partition by d.venue) end as {{ measure }}_usual,
        {%- endfor %}
        d.coverage_price,
        d.coverage_oi
    from {{ ref('daily_venues') }} as d
    inner join {{ ref('dim_venues') }} as v using (venue)
),

days as (
    select
        day
        {%- for measure in ('volume', 'oi') %},
        {{ sum_of(measure ~ '_usd') }} as day_{{ measure }}_usd,
        {{ sum_of(measure ~ '_usual') }} as day_{{ measure }}_usual,
        count({{ measure }}_share) > 0 as knows_{{ measure }}
        {%- endfor %}
    from venues
    group by day
),

segments as (
    select *, 'kind' as dimension, kind as segment from venues where kind is not null
    union all
    select *, 'region' as dimension, region as segment from venues where region is not null
)

select
    s.day,
    s.dimension,
    s.segment,
    count(*) as venues
    {%- for measure, coverage in {'volume': 'price', 'oi': 'oi'}.items() %},
    {{ sum_of('s.' ~ measure ~ '_usd') }} as {{ measure }}_usd,
    case when any_value(d.knows_{{ measure }}) then {{ sum_of('s.' ~ measure ~ '_usd') }} / nullif(any_value(d.day_{{ measure }}_usd), 0) end as {{ measure }}_share,
    {{ sum_of('s.' ~ measure ~ '_usd') }} / nullif(any_value(d.day_{{ measure }}_usd), 0) as {{ measure }}_share_of_known,
    any_value(d.day_{{ measure }}_usd) / (any_value(d.day_{{ measure }}_usd) + coalesce(any_value(d.day_{{ measure }}_usual), 0)) as {{ measure }}_known_share,
    string_agg(s.venue, ', ' order by s.venue) filter (s.{{ measure }}_usd is null) as {{ measure }}_absent_venues,
    {{ sum_of('s.coverage_' ~ coverage) }} / count(*) as coverage_{{ coverage }}
    {%- endfor %}
from segments as s
inner join days as d using (day)
group by s.day, s.dimension, s.segment
