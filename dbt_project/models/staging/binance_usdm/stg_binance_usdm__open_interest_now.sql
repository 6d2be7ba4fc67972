{{ binance_open_interest_now('binance_usdm', 'listed_base') }}
