{{ order_book_depth(source_name='hyperliquid', unit='listed_base', symbol='coin') }}
