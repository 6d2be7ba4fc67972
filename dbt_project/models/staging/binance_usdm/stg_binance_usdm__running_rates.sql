{{ binance_running_rates('binance_usdm') }}
