select
    c.symbol,
    c.open_time as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.vol as raw_volume,
    'contracts' as raw_volume_unit,
    -- Zero beside contracts that were traded is not stated.
    case when c.vol = 0 or c.vol_ccy > 0 then c.vol_ccy end as base_volume,
    case when c.vol = 0 or c.vol_ccy_quote > 0 then c.vol_ccy_quote end as quote_volume,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at
from {{ source('okx', 'candles') }} as c
{{ join_price_bars(source_name='okx', time='open_time') }}
