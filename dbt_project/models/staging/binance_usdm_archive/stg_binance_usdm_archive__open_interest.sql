{{ binance_archive_open_interest(source_name='binance_usdm_archive', unit='listed_base', value='sum_open_interest_value') }}
