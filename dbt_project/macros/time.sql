{# Milliseconds since 1970 as a UTC timestamp without zone. #}
{% macro from_ms(ms) -%} make_timestamp(({{ ms }}) * 1000) {%- endmacro %}

{# The settlement time of a stamp in milliseconds: the full hour if at most 60 s after it, else the full minute (venues settle some milliseconds late). #}
{% macro settlement_time(ms) -%}
    {{ from_ms(ms ~ " - " ~ ms ~ " % (case when " ~ ms ~ " % 3600000 <= 60000 then 3600000 else 60000 end)") }}
{%- endmacro %}
