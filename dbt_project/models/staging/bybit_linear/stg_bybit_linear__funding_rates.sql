{{ bybit_funding_rates('bybit_linear') }}
