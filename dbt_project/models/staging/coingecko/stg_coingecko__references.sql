with looks as (  -- what a bitcoin cost at each look: venues' totals are in bitcoin
    select _observed_at, median(index) as bitcoin
    from {{ source('coingecko', 'tickers') }}
    where index_id = 'BTC' and contract_type = 'perpetual'
    group by all
),

told as (
    select
        t.market as covers,
        t.symbol,
        t.index_id as listed_asset,
        t.index as price,
        t._observed_at,
        -- A ticker that nobody traded for a day is stale, and so is all that it says.
        unnest([
            {'metric': 'open_interest', 'raw_value': t.open_interest, 'raw_unit': 'usd', 'value': t.open_interest, 'unit': 'usd'},
            {'metric': 'volume', 'raw_value': t.volume_24h, 'raw_unit': 'usd', 'value': t.volume_24h, 'unit': 'usd'},
            {'metric': 'running_rate', 'raw_value': t.funding_rate, 'raw_unit': 'percent_per_interval', 'value': t.funding_rate / 100, 'unit': 'fraction_per_interval'}
        ], recursive := true)
    from {{ source('coingecko', 'tickers') }} as t
    where t.contract_type = 'perpetual' and {{ from_ms('t.last_traded_at * 1000') }} > t._observed_at - interval 1 day
    union all by name
    select
        e.name as covers,
        e._observed_at,
        unnest([
            {'metric': 'open_interest', 'raw_value': e.open_interest_btc, 'raw_unit': 'btc', 'value': e.open_interest_btc * l.bitcoin, 'unit': 'usd'},
            {'metric': 'volume', 'raw_value': e.trade_volume_24h_btc, 'raw_unit': 'btc', 'value': e.trade_volume_24h_btc * l.bitcoin, 'unit': 'usd'}
        ], recursive := true)
    from {{ source('coingecko', 'exchanges') }} as e
    left join looks as l using (_observed_at)
    union all by name
    select
        _observed_at,
        unnest([
            {'metric': 'spot_volume', 'raw_value': volume_usd, 'raw_unit': 'usd', 'value': volume_usd, 'unit': 'usd'},
            {'metric': 'market_cap', 'raw_value': market_cap_usd, 'raw_unit': 'usd', 'value': market_cap_usd, 'unit': 'usd'}
        ], recursive := true)
    from {{ source('coingecko', 'totals') }}
    union all by name
    select
        listed_asset,
        price,
        _observed_at,
        unnest([
            {'metric': 'spot_volume', 'raw_value': total_volume, 'raw_unit': 'usd', 'value': total_volume, 'unit': 'usd'},
            {'metric': 'market_cap', 'raw_value': market_cap, 'raw_unit': 'usd', 'value': market_cap, 'unit': 'usd'}
        ], recursive := true)
    from (
        -- Two coins can have one ticker: the larger is meant, and the price says later whether it was.
        select *, upper(symbol) as listed_asset, current_price as price
        from {{ source('coingecko', 'coins') }}
        qualify row_number() over (partition by upper(symbol), _observed_at order by market_cap desc nulls last, id) = 1
    )
)

select
    metric,
    covers,
    symbol,
    listed_asset,
    {{ base_asset('listed_asset') }} as base_asset,
    epoch_ms(_observed_at) as raw_ms,
    case when metric in ('volume', 'spot_volume') then _observed_at - interval 1 day else _observed_at end as period_start,
    _observed_at as period_end,
    raw_value,
    raw_unit,
    value,
    unit,
    price,
    _observed_at as loaded_at
from told
where raw_value is not null
