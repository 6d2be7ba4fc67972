{{ htx_open_interest_now('htx_linear') }}
