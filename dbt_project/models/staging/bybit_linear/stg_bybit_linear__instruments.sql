{{ bybit_instruments(source_name='bybit_linear', contract_type='LinearPerpetual') }}
