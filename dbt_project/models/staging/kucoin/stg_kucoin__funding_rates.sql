select
    symbol,
    timepoint as raw_ms,
    {{ from_ms('timepoint') }} as stamp,
    {{ on_grid('timepoint') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    _observed_at as loaded_at
from {{ source('kucoin', 'funding_rates') }}
