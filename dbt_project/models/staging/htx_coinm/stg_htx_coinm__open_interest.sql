{{ htx_open_interest('htx_coinm') }}
