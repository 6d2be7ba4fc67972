with bitcoin_prices as (  -- US dollars per bitcoin at each snapshot: venues' totals are in bitcoin
    select _observed_at, median(index) as price
    from {{ source('coingecko', 'tickers') }}
    where index_id = 'BTC' and contract_type = 'perpetual'
    group by all
),

numbers as (
    select
        t.market as covers,
        t.symbol,
        t.index_id as listed_asset,
        t.index as price,
        t._observed_at,
        unnest([
            {'metric': 'open_interest', 'raw_value': t.open_interest, 'raw_unit': 'usd', 'value': null::double},
            {'metric': 'volume', 'raw_value': t.volume_24h, 'raw_unit': 'usd', 'value': null::double},
            {'metric': 'running_rate', 'raw_value': t.funding_rate, 'raw_unit': 'percent_per_interval', 'value': null::double}
        ]) as n
    from {{ source('coingecko', 'tickers') }} as t
    -- The numbers of a ticker without a trade for a day are stale.
    where t.contract_type = 'perpetual' and {{ from_ms('t.last_traded_at * 1000') }} > t._observed_at - interval 1 day
    union all by name
    select
        e.name as covers,
        e._observed_at,
        unnest([
            {'metric': 'open_interest', 'raw_value': e.open_interest_btc, 'raw_unit': 'btc', 'value': e.open_interest_btc * b.price},
            {'metric': 'volume', 'raw_value': e.trade_volume_24h_btc, 'raw_unit': 'btc', 'value': e.trade_volume_24h_btc * b.price}
        ]) as n
    from {{ source('coingecko', 'exchanges') }} as e
    left join bitcoin_prices as b using (_observed_at)
    union all by name
    select
        _observed_at,
        unnest([
            {'metric': 'spot_volume', 'raw_value': volume_usd, 'raw_unit': 'usd', 'value': null::double},
            {'metric': 'market_cap', 'raw_value': market_cap_usd, 'raw_unit': 'usd', 'value': null::double}
        ]) as n
    from {{ source('coingecko', 'totals') }}
    union all by name
    select
        listed_asset,
        price,
        _observed_at,
        unnest([
            {'metric': 'spot_volume', 'raw_value': total_volume, 'raw_unit': 'usd', 'value': null::double},
            {'metric': 'market_cap', 'raw_value': market_cap, 'raw_unit': 'usd', 'value': null::double}
        ]) as n
    from (
        -- Several coins can have one ticker: the one with the largest market cap is taken, and `fct_references` checks its price.
        select *, upper(symbol) as listed_asset, current_price as price
        from {{ source('coingecko', 'coins') }}
        qualify row_number() over (partition by upper(symbol), _observed_at order by market_cap desc nulls last, id) = 1
    )
)

select
    n.metric,
    covers,
    symbol,
    listed_asset,
    case when n.metric in ('volume', 'spot_volume') then _observed_at - interval 1 day else _observed_at end as period_start,
    _observed_at as period_end,
    n.raw_value,
    n.raw_unit,
    n.value,
    price,
    _observed_at
from numbers
where n.raw_value is not null
