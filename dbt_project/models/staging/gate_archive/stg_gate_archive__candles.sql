{{ staged_candles(source_name='gate_archive', time='open_time', volume='volume', unit='contracts') }}
