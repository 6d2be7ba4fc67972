-- Of inverse perpetuals, which are those without a quote currency in their name, in USD.
select * replace (case when symbol like '%\_%' escape '\' then 'listed_base' else 'quote' end as raw_unit)
from ({{ order_book_depth(source_name='deribit', unit='quote') }})
