{{ bybit_candles(source_name='bybit_linear', unit='listed_base', turnover='quote_volume') }}
