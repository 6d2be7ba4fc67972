-- An hour without a trade has no price.
select
    symbol,
    opened_at as raw_ms,
    open,
    high,
    low,
    close,
    home_notional as raw_volume,
    'listed_base' as raw_volume_unit,
    foreign_notional as quote_volume,
    trades,
    _observed_at
from {{ source('bitmex', 'candles') }}
where open is not null and high is not null and low is not null and close is not null
