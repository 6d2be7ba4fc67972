{{ order_book_depth(source_name='mexc', unit='contracts') }}
