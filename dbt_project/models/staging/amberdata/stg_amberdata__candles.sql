{{ vendor_candles(source_name='amberdata', symbol='r.symbol', volume='volume') }}
