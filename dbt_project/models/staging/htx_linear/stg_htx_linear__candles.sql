{{ htx_candles('htx_linear') }}
