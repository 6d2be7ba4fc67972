{{ staged_candles('mexc', 'open_time', 'volume', 'contracts', more={'quote_volume': 'amount'}, marks=true, index=true) }}
