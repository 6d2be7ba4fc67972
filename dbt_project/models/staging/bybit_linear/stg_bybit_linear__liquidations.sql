{{ bybit_liquidations(source_name='bybit_linear', unit='listed_base') }}
