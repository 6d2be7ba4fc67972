{{ htx_instruments('htx_linear', 'USDT', "'USDT'") }}
