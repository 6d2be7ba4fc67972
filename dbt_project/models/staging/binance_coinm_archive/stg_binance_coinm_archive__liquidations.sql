-- Orders that were filled; a row may stand for one in several parts.
{{ binance_liquidations(source_name='binance_coinm_archive', unit='contracts', table='liquidations', nth='null') }}
