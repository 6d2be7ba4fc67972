{{ binance_open_interest_now('binance_coinm', 'contracts') }}
