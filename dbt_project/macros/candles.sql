{#
  Joins the closes of the mark bars (`m`) and, with `index`, of the index bars (`x`) to the trade bars `c` by symbol and time.
  `time` is the raw column of the bar's start.
#}
{% macro join_price_bars(source_name, time, index=true) -%}
    left join {{ source(source_name, 'mark_candles') }} as m using (symbol, {{ time }})
    {%- if index %}
    left join {{ source(source_name, 'index_candles') }} as x using (symbol, {{ time }})
    {%- endif %}
{%- endmacro %}
