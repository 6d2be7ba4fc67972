{# Generic tests of this project: each returns the offending rows. #}

{% test unique_key(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as rows_of_key from {{ model }} group by all having count(*) > 1
{% endtest %}

{# Null passes: missing values are null, and coverage counts them. #}
{% test in_range(model, column_name, low=none, high=none) %}
    select * from {{ model }}
    where isnan({{ column_name }})
        {%- if low is not none %} or {{ column_name }} < {{ low }} {%- endif %}
        {%- if high is not none %} or {{ column_name }} > {{ high }} {%- endif %}
{% endtest %}

{% test holds(model, condition) %}
    select * from {{ model }} where not ({{ condition }})
{% endtest %}

{# Rows of instruments that are in no list of the venue: they have no base asset and no value in US dollars. #}
{% test known_instruments(model) %}
    select instrument_id, count(*) as facts from {{ model }} where base_asset is null group by 1
{% endtest %}

{# Nothing infinite and no NaN in any column of floating-point numbers. #}
{% test finite(model) %}
    select * from {{ model }}
    where false
        {%- if execute %}{% for column in adapter.get_columns_in_relation(model) if column.is_float() %} or not isfinite("{{ column.name }}") {%- endfor %}{% endif %}
{% endtest %}
