-- Coins, not contracts: contracts have changed their size, and what it was before our first list of instruments is not known.
select
    symbol,
    ts as raw_ms,
    oi_ccy as raw_value,
    'oiCcy' as raw_field,
    'listed_base' as raw_unit,
    nullif(oi_usd, 0) as venue_usd,
    _observed_at
from {{ source('okx', 'open_interest') }}
