{{ htx_candles(source_name='htx_linear') }}
