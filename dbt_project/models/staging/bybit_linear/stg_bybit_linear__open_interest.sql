{{ bybit_open_interest(source_name='bybit_linear', unit='listed_base') }}
