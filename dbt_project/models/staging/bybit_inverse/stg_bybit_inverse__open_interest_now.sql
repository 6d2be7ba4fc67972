{{ bybit_open_interest_now(source_name='bybit_inverse', unit='quote') }}
