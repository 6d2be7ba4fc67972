{{ bybit_running_rates('bybit_linear') }}
