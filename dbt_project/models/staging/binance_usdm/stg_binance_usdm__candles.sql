{{ binance_candles('binance_usdm', 'listed_base', 'quote_volume') }}
