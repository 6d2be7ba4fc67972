{# Generic tests of our own: each gives the offending rows. #}

{% test unique_key(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as rows_of_key from {{ model }} group by all having count(*) > 1
{% endtest %}

{# Null passes: what is missing is null, and counted elsewhere. #}
{% test in_range(model, column_name, low=none, high=none) %}
    select * from {{ model }}
    where isnan({{ column_name }})
        {%- if low is not none %} or {{ column_name }} < {{ low }} {%- endif %}
        {%- if high is not none %} or {{ column_name }} > {{ high }} {%- endif %}
{% endtest %}

{% test holds(model, condition) %}
    select * from {{ model }} where not ({{ condition }})
{% endtest %}

{# Facts of instruments that no list of the venue holds have no base asset and no value. #}
{% test known_instruments(model) %}
    select instrument_id, count(*) as facts from {{ model }} where base_asset is null group by 1
{% endtest %}
