{{ bybit_instruments(source_name='bybit_inverse', contract_type='InversePerpetual') }}
