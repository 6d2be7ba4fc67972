{{ order_book_depth(source_name='binance_usdm', unit='listed_base') }}
