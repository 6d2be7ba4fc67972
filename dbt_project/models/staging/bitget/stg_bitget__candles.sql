{{ staged_candles('bitget', 'open_time', 'volume', 'listed_base', more={'quote_volume': 'quote_volume'}, marks=true, index=true) }}
