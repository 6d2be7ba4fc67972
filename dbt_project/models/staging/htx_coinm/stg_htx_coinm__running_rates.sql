{{ htx_running_rates(source_name='htx_coinm') }}
