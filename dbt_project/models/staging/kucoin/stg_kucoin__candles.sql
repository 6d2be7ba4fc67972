{{ staged_candles('kucoin', 'open_time', 'volume', 'contracts') }}
