{{ staged_candles(source_name='bitmex_archive', time='open_time', volume='home_notional', unit='listed_base', more={'quote_volume': 'foreign_notional', 'trades': 'trades'}) }}
