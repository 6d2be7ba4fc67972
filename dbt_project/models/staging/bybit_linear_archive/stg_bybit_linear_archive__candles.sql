{{ staged_candles(source_name='bybit_linear_archive', time='open_time', volume='volume', unit='listed_base', more={'quote_volume': 'turnover', 'trades': 'trades'}) }}
