{{ vendor_candles('amberdata', 'r.symbol', '', 'volume') }}
