{{ binance_archive_funding_rates(source_name='binance_usdm_archive') }}
