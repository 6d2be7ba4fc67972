{{ daily_references(
    source_name='coinglass', day='time', open_interest='close', rate='close',
    longs='aggregated_long_liquidation_usd', shorts='aggregated_short_liquidation_usd'
) }}
