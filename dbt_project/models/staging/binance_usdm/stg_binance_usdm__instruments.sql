{{ binance_instruments(source_name='binance_usdm', status='i.status', contract_size='1.0::double') }}
