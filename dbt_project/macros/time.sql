{# A venue's milliseconds as TIMESTAMP without zone, UTC. #}
{% macro from_ms(ms) -%} make_timestamp(({{ ms }}) * 1000) {%- endmacro %}

{# On the hour if at most 60 s after it, else on its minute (venues settle some milliseconds late). #}
{% macro on_grid(ms) -%}
    {{ from_ms(ms ~ " - " ~ ms ~ " % (case when " ~ ms ~ " % 3600000 <= 60000 then 3600000 else 60000 end)") }}
{%- endmacro %}

{% macro hour_of(ms) -%} {{ from_ms("(" ~ ms ~ " - " ~ ms ~ " % 3600000)") }} {%- endmacro %}
