{{ bybit_open_interest_now('bybit_inverse', 'quote') }}
