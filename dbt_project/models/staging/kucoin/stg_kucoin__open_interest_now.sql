select
    symbol,
    open_interest as raw_value,
    'openInterest' as raw_field,
    'contracts' as raw_unit,
    mark_price,
    _observed_at
from {{ listed('kucoin') }}
where type = 'FFWCSX'
