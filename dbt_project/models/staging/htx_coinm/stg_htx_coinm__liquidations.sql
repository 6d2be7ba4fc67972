{{ htx_liquidations('htx_coinm') }}
