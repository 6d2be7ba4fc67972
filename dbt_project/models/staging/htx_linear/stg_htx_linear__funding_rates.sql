{{ htx_funding_rates(source_name='htx_linear') }}
