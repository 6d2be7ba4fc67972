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

{#
  The usual staging model of hourly candles. `time`, `symbol` and `volume` are raw columns, `unit` is what the volume counts, `more` has
  further columns by their canonical names. `marks`, `index`: the source has bars of these prices.
#}
{% macro staged_candles(source_name, time, volume, unit, symbol='symbol', more={}, marks=false, index=false) -%}
select
    c.{{ symbol }} as symbol,
    c.{{ time }} as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.{{ volume }} as raw_volume,
    '{{ unit }}' as raw_volume_unit,
    {%- for name, column in more.items() %}
    c.{{ column }} as {{ name }},
    {%- endfor %}
    {%- if marks %}
    m.close as mark_close,
    {%- endif %}
    {%- if index %}
    x.close as index_close,
    {%- endif %}
    c._observed_at
from {{ source(source_name, 'candles') }} as c
{% if marks -%} {{ join_price_bars(source_name=source_name, time=time, index=index) }} {%- endif %}
{%- endmacro %}
