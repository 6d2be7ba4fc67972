{{ staged_candles(
    source_name='okx_archive', time='open_time', volume='vol', unit='contracts', more={'base_volume': 'vol_ccy', 'quote_volume': 'vol_quote'}
) }}
