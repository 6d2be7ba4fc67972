{{ binance_instruments(source_name='binance_coinm', status='i.contract_status', contract_size='i.contract_size') }}
