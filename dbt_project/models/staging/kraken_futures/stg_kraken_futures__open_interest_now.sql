select
    symbol,
    open_interest as raw_value,
    'openInterest' as raw_field,
    'listed_base' as raw_unit,
    mark_price,
    _observed_at
from {{ source('kraken_futures', 'tickers') }}
where tag = 'perpetual' and symbol like 'PF\_%' escape '\'
