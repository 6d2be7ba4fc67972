{{ daily_references('coinglass', 'time', 'close', 'close', 'aggregated_long_liquidation_usd', 'aggregated_short_liquidation_usd') }}
