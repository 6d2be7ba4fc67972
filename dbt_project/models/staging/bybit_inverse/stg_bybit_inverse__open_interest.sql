{{ bybit_open_interest(source_name='bybit_inverse', unit='quote') }}
