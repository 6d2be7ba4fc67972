{{ order_book_depth(source_name='htx_linear', unit='contracts') }}
