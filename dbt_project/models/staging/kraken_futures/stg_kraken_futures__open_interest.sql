-- Of the analytics bar, `open` is the instant of the stamp (unverified).
select
    symbol,
    "timestamp" as raw_ms,
    open as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    _observed_at
from {{ source('kraken_futures', 'open_interest') }}
