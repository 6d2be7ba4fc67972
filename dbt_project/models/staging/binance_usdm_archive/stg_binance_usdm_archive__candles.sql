{{ binance_candles(source_name='binance_usdm_archive', unit='listed_base', turnover='quote_volume') }}
