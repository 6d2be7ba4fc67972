{{ staged_candles('gate', '"time"', 'volume', 'contracts', more={'quote_volume': 'turnover'}, marks=true, index=true) }}
