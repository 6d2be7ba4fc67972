{{ order_book_depth(source_name='bitget', unit='listed_base') }}
