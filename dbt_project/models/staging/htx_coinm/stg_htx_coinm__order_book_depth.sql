{{ order_book_depth(source_name='htx_coinm', unit='contracts') }}
