-- Each venue is represented by its perpetual of the asset with the highest volume that day: the one that an arbitrage would trade.
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
