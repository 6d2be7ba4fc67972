{{ ccxt_open_interest('open_interest', '"timestamp"') }}
