{{ htx_instruments(source_name='htx_coinm', quote='USD', settle='symbol') }}
