{{ daily_references(source_name='cryptoquant', day='day', open_interest='value', rate='value', longs='long_usd', shorts='short_usd') }}
