{{ order_book_depth(source_name='gate', unit='contracts') }}
