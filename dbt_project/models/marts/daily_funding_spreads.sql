-- Each venue is represented by its perpetual of the asset with the highest volume that day: the one that an arbitrage would trade.
with rates as (
    select
        day,
        base_asset as asset,
        venue,
        instrument_id,
        funding_8h,
        case when funding_hours = 24 then funding_sum end as charged
    from {{ ref('int_daily') }}
    where funding_8h is not null
    qualify row_number() over (partition by day, base_asset, venue order by volume_usd desc nulls last, instrument_id) = 1
),

extremes as (
    select
        day,
        asset,
        count(*) as venues,
        first(rates order by funding_8h desc, venue) as highest,
        first(rates order by funding_8h, venue) as lowest
    from rates
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
    venues
from spans
