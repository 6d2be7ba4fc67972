-- `nextFundingRateTime` is the milliseconds left at the time of the request.
select
    symbol,
    _observed_at as observed_at,
    funding_fee_rate as raw_rate,
    funding_rate_granularity / 3600000 as interval_hours,
    {{ from_ms('coalesce(next_funding_rate_date_time, epoch_ms(_observed_at) + next_funding_rate_time)') }} as next_settlement_at,
    mark_price,
    index_price
from {{ listed('kucoin') }}
where type = 'FFWCSX' and funding_fee_rate is not null
