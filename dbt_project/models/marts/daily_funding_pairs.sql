with pairs as (
    select
        l.day,
        l.asset,
        l.venue as long_venue,
        s.venue as short_venue,
        l.instrument_id as long_instrument_id,
        s.instrument_id as short_instrument_id,
        s.funding_8h - l.funding_8h as spread_8h,
        s.charged - l.charged as charged
    from {{ ref('int_venue_funding') }} as l
    inner join {{ ref('int_venue_funding') }} as s on l.day = s.day and l.asset = s.asset and l.venue <> s.venue
),

with_past as (
    select
        *,
        sum(charged) over past as charged_total,
        count(charged) over past as days_charged,
        case when lag(day) over series = day - 1 then lag(spread_8h) over series end as spread_8h_before
    from pairs
    window
        series as (partition by asset, long_venue, short_venue order by day),
        past as (partition by asset, long_venue, short_venue order by day rows between unbounded preceding and current row)
)

select
    *,
    spread_8h_before is not null and row_number() over (
        partition by day, asset order by spread_8h_before desc nulls last, long_venue, short_venue) = 1 as was_widest_before
from with_past
