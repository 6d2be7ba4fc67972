select
    symbol,
    hold_vol as raw_value,
    'holdVol' as raw_field,
    'contracts' as raw_unit,
    fair_price as mark_price,
    _observed_at
from {{ source('mexc', 'tickers') }}
