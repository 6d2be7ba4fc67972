{{ order_book_depth(source_name='bybit_inverse', unit='contracts') }}
