{{ vendor_candles(source_name='kaiko', symbol=kaiko_symbol('r.symbol'), volume='volume') }}
