-- A venue is told by its busiest perpetual of the asset that day: the one that an arbitrage would trade.
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

ends as (
    select
        day,
        asset,
        count(*) as venues,
        first(rates order by funding_8h desc, venue) as dear,
        first(rates order by funding_8h, venue) as cheap
    from rates
    group by all
    having count(*) > 1
),

held as (  -- days in a row with the same two ends
    select *, day - (row_number() over (partition by asset, dear.venue, cheap.venue order by day))::integer as began
    from ends
)

select
    day,
    asset,
    dear.venue as highest_funding_venue,
    cheap.venue as lowest_funding_venue,
    dear.instrument_id as highest_funding_instrument_id,
    cheap.instrument_id as lowest_funding_instrument_id,
    dear.funding_8h as highest_funding_rate_8h,
    cheap.funding_8h as lowest_funding_rate_8h,
    dear.funding_8h - cheap.funding_8h as spread_8h,
    (dear.funding_8h - cheap.funding_8h) * 3 * 365 as spread_apr,
    dear.charged - cheap.charged as spread_charged,
    row_number() over (partition by asset, dear.venue, cheap.venue, began order by day) as consecutive_days,
    venues
from held
