{{ bybit_liquidations(source_name='bybit_inverse', unit='quote') }}
