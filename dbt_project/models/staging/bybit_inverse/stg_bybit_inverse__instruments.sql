{{ bybit_instruments('bybit_inverse', 'InversePerpetual') }}
