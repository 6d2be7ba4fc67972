{{ htx_liquidations(source_name='htx_coinm', size='amount', unit='listed_base') }}
