{{ order_book_depth(source_name='bybit_linear', unit='listed_base') }}
