{{ daily_references('cryptoquant', 'day', 'value', 'value', 'long_usd', 'short_usd') }}
