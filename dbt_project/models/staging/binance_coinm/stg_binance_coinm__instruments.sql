{{ binance_instruments('binance_coinm', 'i.contract_status', 'i.contract_size') }}
