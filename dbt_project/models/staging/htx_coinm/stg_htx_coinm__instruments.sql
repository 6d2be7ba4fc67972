{{ htx_instruments('htx_coinm', 'USD', 'symbol') }}
