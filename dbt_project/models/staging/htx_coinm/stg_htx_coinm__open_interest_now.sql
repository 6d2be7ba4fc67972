{{ htx_open_interest_now(source_name='htx_coinm') }}
