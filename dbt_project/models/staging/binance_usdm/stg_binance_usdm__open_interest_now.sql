{{ binance_open_interest_now(source_name='binance_usdm', unit='listed_base') }}
