{{ binance_funding_rates('binance_coinm') }}
