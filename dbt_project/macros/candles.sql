{# Beside the bars `c` of trades the closes of the mark's bars `m` and of the index's `x`, by their stamp. #}
{% macro join_price_bars(source_name, stamp) -%}
    left join {{ source(source_name, 'mark_candles') }} as m using (symbol, {{ stamp }})
    left join {{ source(source_name, 'index_candles') }} as x using (symbol, {{ stamp }})
{%- endmacro %}
