-- No bars of the oracle price.
{{ staged_candles(
    'dydx', 'started_at', 'base_token_volume', 'listed_base', symbol='ticker', more={'quote_volume': 'usd_volume', 'trades': 'trades'}
) }}
