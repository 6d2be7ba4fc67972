{{ htx_liquidations('htx_linear') }}
