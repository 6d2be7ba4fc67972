{{ bybit_open_interest_now('bybit_linear', 'listed_base') }}
