{{ binance_instruments('binance_usdm', 'i.status', '1.0::double') }}
