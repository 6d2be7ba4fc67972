{{ vendor_candles('kaiko', kaiko_native('r.symbol'), '', 'volume') }}
