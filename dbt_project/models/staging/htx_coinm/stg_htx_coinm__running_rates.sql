{{ htx_running_rates('htx_coinm') }}
