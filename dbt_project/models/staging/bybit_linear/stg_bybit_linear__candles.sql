{{ bybit_candles('bybit_linear', 'listed_base', 'quote_volume') }}
