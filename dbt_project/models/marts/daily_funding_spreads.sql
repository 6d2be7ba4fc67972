with extremes as (
    select
        day,
        asset,
        count(*) as venues,
        first(rates order by funding_8h desc, venue) as highest,
        first(rates order by funding_8h, venue) as lowest
    from {{ ref('int_venue_funding') }} as rates
    group by all
    having count(*) > 1
),

spans as (  -- `began` is the same for consecutive days with the same two venues
    select *, day - (row_number() over (partition by asset, highest.venue, lowest.venue order by day))::integer as began
    from extremes
)

select
    day,
    asset,
    highest.venue as highest_funding_venue,
    lowest.venue as lowest_funding_venue,
    highest.instrument_id as highest_funding_instrument_id,
    lowest.instrument_id as lowest_funding_instrument_id,
    highest.funding_8h as highest_funding_rate_8h,
    lowest.funding_8h as lowest_funding_rate_8h,
    highest.funding_8h - lowest.funding_8h as spread_8h,
    (highest.funding_8h - lowest.funding_8h) * 3 * 365 as spread_apr,
    highest.charged - lowest.charged as spread_charged,
    row_number() over (partition by asset, highest.venue, lowest.venue, began order by day) as consecutive_days,
    venues,
    p.charged as known_pair_charged
from spans
left join (select * from {{ ref('daily_funding_pairs') }} where was_widest_before) as p using (day, asset)
