{{ order_book_depth(source_name='aevo', unit='listed_base') }}
