{{ htx_funding_rates('htx_linear') }}
