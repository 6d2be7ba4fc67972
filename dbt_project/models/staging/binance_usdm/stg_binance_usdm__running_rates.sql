{{ binance_running_rates(source_name='binance_usdm') }}
