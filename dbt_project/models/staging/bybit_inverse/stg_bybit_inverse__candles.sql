{{ bybit_candles('bybit_inverse', 'quote', 'base_volume') }}
