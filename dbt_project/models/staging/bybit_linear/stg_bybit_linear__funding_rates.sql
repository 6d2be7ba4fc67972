{{ bybit_funding_rates(source_name='bybit_linear') }}
