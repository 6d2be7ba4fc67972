{{ binance_liquidations(source_name='binance_coinm', unit='contracts') }}
