{{ order_book_depth(source_name='kucoin', unit='contracts') }}
