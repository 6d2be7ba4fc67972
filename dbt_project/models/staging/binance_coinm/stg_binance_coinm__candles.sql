{{ binance_candles(source_name='binance_coinm', unit='contracts', turnover='base_volume') }}
