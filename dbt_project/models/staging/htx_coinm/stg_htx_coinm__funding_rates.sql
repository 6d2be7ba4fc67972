{{ htx_funding_rates('htx_coinm') }}
