{{ bybit_open_interest('bybit_inverse', 'quote') }}
