{{ binance_candles('binance_coinm', 'contracts', 'base_volume') }}
