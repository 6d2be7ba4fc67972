-- The rate of this instant, stated for eight hours; one hour is charged.
select
    instrument_name as symbol,
    _observed_at as observed_at,
    current_funding as raw_rate,
    'fraction_per_8_hours' as raw_unit,
    1.0::double as interval_hours,
    date_trunc('hour', _observed_at) + interval 1 hour as next_settlement_at,
    mark_price
from {{ source('deribit', 'summaries') }}
where instrument_name like '%-PERPETUAL' and current_funding is not null
