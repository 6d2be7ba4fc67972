{{ ccxt_open_interest('open_interest', 'o."timestamp"') }}
