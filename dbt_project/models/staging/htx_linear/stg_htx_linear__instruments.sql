{{ htx_instruments(source_name='htx_linear', quote='USDT', settle="'USDT'") }}
