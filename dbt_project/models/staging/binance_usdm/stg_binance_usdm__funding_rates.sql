{{ binance_funding_rates('binance_usdm') }}
