select
    instrument_name as symbol,
    settled_at as raw_ms,
    funding_rate as raw_rate,
    1.0::double as stated_interval_hours,
    mark_price,
    _observed_at
from {{ source('aevo', 'funding_rates') }}
