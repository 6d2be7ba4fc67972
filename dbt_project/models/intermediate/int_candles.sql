{{ union_of('candles') }}
