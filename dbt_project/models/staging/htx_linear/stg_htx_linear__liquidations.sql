{{ htx_liquidations(source_name='htx_linear') }}
