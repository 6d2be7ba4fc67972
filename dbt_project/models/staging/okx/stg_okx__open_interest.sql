-- Coins, not contracts: contracts have changed their size, and what it was before our first list of instruments is not known.
select
    symbol,
    ts as raw_ms,
    {{ from_ms('ts') }} as stamp,
    {{ hour_of('ts') }} as observed_at,
    oi_ccy as raw_value,
    'oiCcy' as raw_field,
    'listed_base' as raw_unit,
    nullif(oi_usd, 0) as venue_usd,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source('okx', 'open_interest') }}
where oi_ccy > 0
