{{ order_book_depth(source_name='kraken_futures', unit='listed_base') }}
