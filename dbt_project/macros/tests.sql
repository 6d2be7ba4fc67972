{# Generic tests of this project: each returns the offending rows. #}

{% test unique_key(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as rows_of_key from {{ model }} group by all having count(*) > 1
{% endtest %}

{% test holds(model, condition) %}
    select * from {{ model }} where not ({{ condition }})
{% endtest %}

{# Rows of instruments that are in no list of the venue: they have no base asset and no value in US dollars. #}
{% test known_instruments(model) %}
    select instrument_id, count(*) as facts from {{ model }} where base_asset is null group by 1
{% endtest %}

{# Nothing infinite and no NaN in any column of floating-point numbers, and nothing beyond the bounds that a column's `meta` states as `low` and
   `high`, inclusive. Null passes: missing values are null, and coverage counts them. #}
{% test numbers_in_bounds(model) %}
    {%- set wrong = [] %}
    {%- if execute %}
    {%- set columns = graph.nodes['model.perplake.' ~ model.identifier].columns %}
    {%- for column in adapter.get_columns_in_relation(model) %}
        {%- set bounds = columns[column.name].meta if column.name in columns else {} %}
        {%- set fine = [] %}
        {%- if column.is_float() %}{% do fine.append('isfinite("' ~ column.name ~ '")') %}{% endif %}
        {%- if 'low' in bounds %}{% do fine.append('"' ~ column.name ~ '" >= ' ~ bounds.low) %}{% endif %}
        {%- if 'high' in bounds %}{% do fine.append('"' ~ column.name ~ '" <= ' ~ bounds.high) %}{% endif %}
        {%- if fine %}{% do wrong.append("case when not (" ~ fine | join(' and ') ~ ") then '" ~ column.name ~ "' end") %}{% endif %}
    {%- endfor %}
    {%- endif %}
    select * from (select concat_ws(', ', {{ wrong | join(', ') or "''" }}) as wrong_columns, * from {{ model }}) where wrong_columns <> ''
{% endtest %}
