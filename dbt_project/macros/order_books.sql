{# The staging model of polled order books; `unit` is the unit of their sizes. #}
{% macro order_book_depth(source_name, unit, symbol='symbol') -%}
select
    {{ symbol }} as symbol,
    _observed_at as observed_at,
    {{ from_ms('"time"') }} as stamp,
    '{{ unit }}' as raw_unit,
    * exclude ({{ symbol }}, "time", _page, _run, _observed_at, _place)
from {{ source(source_name, 'order_book_depth') }}
{%- endmacro %}

{# The distances from the mid in basis points, as in `pipelines/order_books.py`. #}
{% macro order_book_bands() -%} {{ return([10, 50, 100, 200]) }} {%- endmacro %}
