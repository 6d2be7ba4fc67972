{{ binance_open_interest_now(source_name='binance_coinm', unit='contracts') }}
