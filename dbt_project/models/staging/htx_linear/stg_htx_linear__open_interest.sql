{{ htx_open_interest(source_name='htx_linear') }}
