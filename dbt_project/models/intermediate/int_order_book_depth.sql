{{ union_staged('order_book_depth') }}
