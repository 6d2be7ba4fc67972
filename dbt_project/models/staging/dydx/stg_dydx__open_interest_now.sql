select
    ticker as symbol,
    open_interest as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    oracle_price as mark_price,
    _observed_at
from {{ listed('dydx') }}
