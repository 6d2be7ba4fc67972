{{ order_book_depth(source_name='dydx', unit='listed_base', symbol='ticker') }}
