{{ staged_candles(
    'htx_linear', '"time"', 'vol', 'contracts', more={'base_volume': 'amount', 'quote_volume': 'trade_turnover'}, marks=true
) }}
