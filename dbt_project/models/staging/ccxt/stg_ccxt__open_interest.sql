{{ ccxt_open_interest(dataset='open_interest') }}
