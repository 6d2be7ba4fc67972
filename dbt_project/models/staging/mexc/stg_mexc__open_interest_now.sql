select
    symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    hold_vol as raw_value,
    'holdVol' as raw_field,
    'contracts' as raw_unit,
    fair_price as mark_price,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source('mexc', 'tickers') }}
where hold_vol > 0
