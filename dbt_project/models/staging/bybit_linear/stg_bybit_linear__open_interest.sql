{{ bybit_open_interest('bybit_linear', 'listed_base') }}
