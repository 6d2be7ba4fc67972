-- Raw rows of a hand-made market for the view `hours` (t, ms since the epoch, n hours since the epoch, px); {b}: bookkeeping columns.

insert into raw.binance_usdm__instruments by name
select 'BTCUSDT' as symbol, 'BTCUSDT' as pair, 'PERPETUAL' as contract_type,
    'TRADING' as status, 'BTC' as base_asset, 'USDT' as quote_asset, 'USDT' as margin_asset, 4133404800000 as delivery_date,
    {b} where not exists (from raw.binance_usdm__instruments);

insert into raw.bybit_linear__instruments by name
select '1000PEPEUSDT' as symbol, 'LinearPerpetual' as contract_type,
    'Trading' as status, '1000PEPE' as base_coin, 'USDT' as quote_coin, 'USDT' as settle_coin, 480 as funding_interval, {b}
    where not exists (from raw.bybit_linear__instruments);

insert into raw.hyperliquid__instruments by name
select 'BTC' as name, 5 as sz_decimals, {b}
    where not exists (from raw.hyperliquid__instruments);

insert into raw.kraken_futures__instruments by name
select 'PF_XBTUSD' as symbol, 'flexible_futures' as type, true as tradeable,
    'XBT:USD' as pair, 1 as contract_size, {b} where not exists (from raw.kraken_futures__instruments);

insert into raw.binance_usdm__candles by name
select 'BTCUSDT' as symbol, ms as open_time, px as open, px + 2 as high, px - 2 as low,
    px + 1 as close, 10 + n % 7 as volume, ms + 3599999 as close_time, (10 + n % 7) * px as quote_volume, 5 as trades, {b}
from hours where t <> timestamp '2025-10-04 03:00';

insert into raw.binance_usdm__mark_candles by name
select 'BTCUSDT' as symbol, ms as open_time, px + 1.5 as close, {b}
from hours;

insert into raw.binance_usdm__index_candles by name
select 'BTCUSDT' as symbol, ms as open_time, px + 1.25 as close, {b}
from hours;

insert into raw.binance_usdm__open_interest by name
select 'BTCUSDT' as symbol, ms as timestamp, 1000 + n % 11 as sum_open_interest, {b}
from hours;

insert into raw.binance_usdm__funding_rates by name
select 'BTCUSDT' as symbol, ms + 7 as funding_time, 1e-4 * sin(n) as funding_rate,
    'Regular' as rate_type, {b}
from hours where hour(t) % (case when t <= timestamp '2025-10-06' then 8 else 4 end) = 0;

insert into raw.bybit_linear__candles by name
select '1000PEPEUSDT' as symbol, ms as open_time, px as open, px + 2 as high, px - 2 as low,
    px + 1 as close, 3 as volume, 3 * px as turnover, {b}
from hours;

insert into raw.bybit_linear__open_interest by name
select '1000PEPEUSDT' as symbol, ms as timestamp, 200 as open_interest, {b}
from hours;

insert into raw.bybit_linear__funding_rates by name
select '1000PEPEUSDT' as symbol, ms as funding_rate_timestamp,
    2e-4 as funding_rate, {b}
from hours where hour(t) % 8 = 0;

insert into raw.hyperliquid__funding_rates by name
select 'BTC' as coin, ms + 76 as time, 1e-5 * cos(n) as funding_rate, {b}
from hours where t not in (timestamp '2025-10-05 10:00', timestamp '2025-10-05 11:00');

insert into raw.kraken_futures__funding_rates by name
select 'PF_XBTUSD' as symbol, ms as timestamp, 1e-5 + 1e-7 * cos(n) as relative_funding_rate, {b}
from hours;

insert into raw.kraken_futures__candles by name
select 'PF_XBTUSD' as symbol, ms as time, px as open, px + 2 as high, px - 2 as low,
    px + 1 as close, 7 as volume, {b}
from hours;

insert into raw.kraken_futures__liquidations by name
select 'PF_XBTUSD' as symbol, n::varchar as uid, ms + 1234 as timestamp, px as price,
    2 as quantity, 'Sell' as direction, 'PartialLiquidation' as order_type, {b}
from hours where hour(t) = 21;

insert into meta.loaded_windows select 'kraken_futures', 'liquidations', 'PF_XBTUSD', min(t), max(t) + interval 1 hour from hours;

-- Polled each hour, the order book of Bybit by an instrument in thousands of coins.
insert into raw.binance_usdm__premium_index by name
select 'BTCUSDT' as symbol, ms + 60000 as time, 0 as next_funding_time, px as mark_price, px - 1 as index_price, 1e-4 * cos(n) as last_funding_rate,
    'page' as _page, 'run' as _run, t + interval 1 minute as _observed_at
from hours;

insert into raw.bybit_linear__order_book_depth by name
select '1000PEPEUSDT' as symbol, ms + 60000 as time, px - 0.01 as best_bid, px + 0.01 as best_ask, 20 as bid_levels, 20 as ask_levels,
    40 + n % 5 as bid_size_10, (40 + n % 5) * px as bid_value_10, (40 + n % 5) / px as bid_coins_10,
    'page' as _page, 'run' as _run, t + interval 1 minute as _observed_at
from hours;
