{# Milliseconds since 1970 as a UTC timestamp without zone; null outside of 1970 to 2099: venues write "never" as a far date. #}
{% macro from_ms(ms) -%}
    case when ({{ ms }}) between 0 and 4102444799999 then make_timestamp(({{ ms }})::bigint * 1000) end
{%- endmacro %}

{# The settlement time of a stamp in milliseconds: the full hour if at most 60 s from it, else the full minute (venues settle some milliseconds early or late). #}
{% macro settlement_time(ms) -%}
    {{ from_ms("case when (" ~ ms ~ " + 60000) % 3600000 <= 120000 then " ~ ms ~ " + 60000 - (" ~ ms ~ " + 60000) % 3600000 else " ~ ms ~ " - " ~ ms ~ " % 60000 end") }}
{%- endmacro %}

{# The windows of a relation, adjacent and overlapping ones of the same `keys` merged. #}
{% macro merged_windows(relation, keys, begins='window_start', ends='window_end') -%}
{%- set series = "partition by " ~ keys ~ " order by " ~ begins ~ ", " ~ ends -%}
select {{ keys }}, min({{ begins }}) as {{ begins }}, max({{ ends }}) as {{ ends }}
from (
    select *, sum(starts) over ({{ series }}) as island
    from (
        select
            *,
            ({{ begins }} > coalesce(max({{ ends }}) over ({{ series }} rows between unbounded preceding and 1 preceding), '-infinity'))::integer as starts
        from {{ relation }}
    )
)
group by {{ keys }}, island
{%- endmacro %}
