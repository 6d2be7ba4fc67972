{{ config(materialized='incremental', meta={'time': 'day', 'follows': ['int_daily'], 'look_ahead': 'always'}) }}
{#- Sums since the first day: what was charged before the window is in the rows that stay. -#}
{%- set window = replaced_window() %}
with pairs as (
    select
        l.day,
        l.asset,
        l.venue as long_venue,
        s.venue as short_venue,
        l.instrument_id as long_instrument_id,
        s.instrument_id as short_instrument_id,
        s.funding_8h - l.funding_8h as spread_8h,
        s.charged - l.charged as charged,
        {{ in_window('l.day', window) }} as is_replaced
    from {{ ref('int_venue_funding') }} as l
    inner join {{ ref('int_venue_funding') }} as s on l.day = s.day and l.asset = s.asset and l.venue <> s.venue
    where {{ in_window('l.day', window, margin=24) }} and {{ in_window('s.day', window, margin=24) }}
),

{% if window.from is not none -%}
{%- set of_the_last_day -%}
    select asset, long_venue, short_venue, arg_max(charged_total, day) as charged_total, arg_max(days_charged, day) as days_charged
    from {{ this }}
{%- endset %}

last_month as ({{ of_the_last_day }} where day < {{ window.from }} and day >= {{ window.from }} - interval 30 day group by all),

others as (select distinct asset, long_venue, short_venue from pairs anti join last_month using (asset, long_venue, short_venue)),

before as (  -- years are read for pairs alone that the last month has not
    from last_month
    union all
    {{ of_the_last_day }} semi join others using (asset, long_venue, short_venue) where day < {{ window.from }} group by all
),

{% endif -%}
with_past as (
    select
        p.*,
        {%- if window.from is none %}
        {{ sum_of('charged', bits=50, over='past') }} as charged_total,
        count(charged) over past as days_charged,
        {%- else %}
        case when count(p.charged) over past > 0
            then coalesce(b.charged_total, 0) + {{ sum_of('p.charged', bits=50, over='past') }} else b.charged_total end as charged_total,
        coalesce(b.days_charged, 0) + count(p.charged) over past as days_charged,
        {%- endif %}
        case when lag(p.day) over series = p.day - 1 then lag(p.spread_8h) over series end as spread_8h_before
    from pairs as p
    {%- if window.from is not none %}
    left join before as b using (asset, long_venue, short_venue)
    {%- endif %}
    window
        series as (partition by asset, long_venue, short_venue order by p.day),
        past as (partition by asset, long_venue, short_venue, is_replaced order by p.day rows between unbounded preceding and current row)
)

select
    * exclude (is_replaced),
    spread_8h_before is not null and row_number() over (
        partition by day, asset order by spread_8h_before desc nulls last, long_venue, short_venue) = 1 as was_widest_before
from with_past
where is_replaced
