{{ binance_archive_open_interest(source_name='binance_coinm_archive', unit='contracts') }}
