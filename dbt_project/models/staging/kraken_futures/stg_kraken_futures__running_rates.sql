-- The ticker's rate is absolute (USD per contract and hour): over the mark it is the fraction.
select
    symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    'usd_per_contract_and_interval' as raw_unit,
    date_trunc('hour', _observed_at) + interval 1 hour as next_settlement_at,
    mark_price,
    index_price
from {{ source('kraken_futures', 'tickers') }}
where tag = 'perpetual' and symbol like 'PF\_%' escape '\' and funding_rate is not null
