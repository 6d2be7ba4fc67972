{{ order_book_depth(source_name='okx', unit='contracts') }}
