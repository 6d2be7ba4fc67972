{{ binance_funding_rates(source_name='binance_usdm') }}
