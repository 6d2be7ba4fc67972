{{ binance_candles(source_name='binance_usdm', unit='listed_base', turnover='quote_volume') }}
