{{ binance_liquidations(source_name='binance_usdm', unit='listed_base') }}
