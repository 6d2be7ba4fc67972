{{ binance_candles(source_name='binance_coinm_archive', unit='contracts', turnover='base_volume') }}
