select
    product_id as symbol,
    open_interest as raw_value,
    'open_interest' as raw_field,
    'contracts' as raw_unit,
    _observed_at
from {{ listed('coinbase') }}
where funding_interval is not null
