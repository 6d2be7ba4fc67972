{{ staged_candles(source_name='bybit_inverse_archive', time='open_time', volume='volume', unit='quote', more={'base_volume': 'turnover', 'trades': 'trades'}) }}
