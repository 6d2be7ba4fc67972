{{ config(materialized='table') }}
-- Listed names with a multiplier that are another coin than the name without it: 1000000BOB is no million BOB, the prices say. A ratio of a
-- power of ten is an error of units instead, and stays for the checks.
with listed as (
    select distinct
        instrument_id,
        {{ base_asset('listed_asset', at='observed_at') }} as base_asset,
        {{ multiplier('listed_asset') }} as multiplier
    from ({{ union_staged('instruments') }})
    qualify min(multiplier) over (partition by base_asset) = 1 and max(multiplier) over (partition by base_asset) > 1
),

prices as (
    select l.instrument_id, l.base_asset, l.multiplier, c.opened_at::date as day, median(c.close / l.multiplier) as price
    from listed as l
    inner join {{ ref('int_candles') }} as c using (instrument_id)
    where c.close is not null
    group by all
)

select
    m.instrument_id,
    median(log10(m.price / o.price)) as log_ratio
from prices as m
inner join (select base_asset, day, median(price) as price from prices where multiplier = 1 group by all) as o using (base_asset, day)
where m.multiplier > 1
group by all
having abs(log_ratio) > log10(2) and not (round(abs(log_ratio)) >= 1 and abs(abs(log_ratio) - round(abs(log_ratio))) < 0.05)
