{{ bybit_instruments('bybit_linear', 'LinearPerpetual') }}
