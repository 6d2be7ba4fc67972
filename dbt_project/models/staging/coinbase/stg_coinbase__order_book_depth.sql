{{ order_book_depth(source_name='coinbase', unit='contracts') }}
