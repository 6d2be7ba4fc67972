{{ bybit_candles(source_name='bybit_inverse', unit='quote', turnover='base_volume') }}
