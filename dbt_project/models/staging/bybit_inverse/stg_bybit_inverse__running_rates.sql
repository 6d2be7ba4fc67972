{{ bybit_running_rates(source_name='bybit_inverse') }}
