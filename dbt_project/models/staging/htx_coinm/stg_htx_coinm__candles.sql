{{ htx_candles('htx_coinm') }}
