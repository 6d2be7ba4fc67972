select
    instrument_name as symbol,
    settled_at as raw_ms,
    {{ from_ms('settled_at') }} as stamp,
    {{ on_grid('settled_at') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    1.0::double as stated_interval_hours,
    mark_price,
    _observed_at as loaded_at
from {{ source('aevo', 'funding_rates') }}
