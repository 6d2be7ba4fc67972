{{ bybit_open_interest_now(source_name='bybit_linear', unit='listed_base') }}
