{{ order_book_depth(source_name='binance_coinm', unit='contracts') }}
