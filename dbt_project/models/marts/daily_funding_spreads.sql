{{ config(materialized='incremental', meta={'time': 'day', 'follows': ['int_daily'], 'look_ahead': 'always'}) }}
{%- set window = replaced_window() %}
with extremes as (
    select
        day,
        asset,
        count(*) as venues,
        first(rates order by funding_8h desc, venue) as highest,
        first(rates order by funding_8h, venue) as lowest
    from {{ ref('int_venue_funding') }} as rates
    where {{ in_window('day', window) }}
    group by all
    having count(*) > 1
),

spans as (  -- `began` is the same for consecutive days with the same two venues: the day before the first of them
    select *, day - (row_number() over (partition by asset, highest.venue, lowest.venue order by day))::integer as began
    from extremes
)

select
    s.day,
    s.asset,
    highest.venue as highest_funding_venue,
    lowest.venue as lowest_funding_venue,
    highest.instrument_id as highest_funding_instrument_id,
    lowest.instrument_id as lowest_funding_instrument_id,
    highest.funding_8h as highest_funding_rate_8h,
    lowest.funding_8h as lowest_funding_rate_8h,
    highest.funding_8h - lowest.funding_8h as spread_8h,
    (highest.funding_8h - lowest.funding_8h) * 3 * 365 as spread_apr,
    highest.charged - lowest.charged as spread_charged,
    s.day - s.began {%- if window.from is not none %} + coalesce(b.consecutive_days, 0) {%- endif %} as consecutive_days,
    s.venues,
    p.charged as known_pair_charged
from spans as s
left join {{ ref('daily_funding_pairs') }} as p on s.day = p.day and s.asset = p.asset and p.was_widest_before
{%- if window.from is not none %}
left join {{ this }} as b
    on s.asset = b.asset and s.highest.venue = b.highest_funding_venue and s.lowest.venue = b.lowest_funding_venue
        and s.began = b.day and b.day < {{ window.from }}
{%- endif %}
