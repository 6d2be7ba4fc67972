select
    r.source,
    r.metric,
    r.covers,
    r.venue,
    coalesce(r.is_self_reported, false) as is_self_reported,
    r.symbol,
    r.listed_asset,
    r.base_asset,
    r.period_start,
    r.period_end,
    (r.period_end - interval 1 microsecond)::date as day,
    r.raw_value,
    r.raw_unit,
    -- A coin whose price differs from the price here is another coin with the same ticker.
    case when r.metric not in ('market_cap', 'spot_volume') or r.price is null or m.close is null or abs(ln(r.price / m.close)) < {{ var('same_coin') }}
        then r.value end as value,
    r.unit,
    r.price,
    r.nulled,
    case when d.value is null then r._observed_at else r.period_end + to_minutes(d.value::bigint) end as known_at,
    r._observed_at as _loaded_at
from {{ ref('int_references') }} as r
left join {{ ref('daily_assets') }} as m on r.base_asset = m.asset and m.day = (r.period_end - interval 1 microsecond)::date
{{ join_fact('d', 'r', 'references', "'publication_delay_minutes'") }}
