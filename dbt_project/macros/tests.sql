{# Generic tests of this project: each returns the offending rows. #}

{#
  The rows of a mart that a blocking test reads: those that this run has replaced, where the mart is an incremental model or a view of one (no seed).
  Rows that failed before are among them: a run that a test has stopped is not noted as built. Tests that only warn read all rows, and so
  does a run without a changed window.
#}
{% macro tested_rows(model) -%}
    {%- set found = {'rows': model} -%}
    {%- if execute and var('changed_from') and config.get('severity', 'error') | lower != 'warn' -%}
    {%- set node = graph.nodes.get('model.perplake.' ~ model.identifier) -%}
    {%- set reads = node.depends_on.nodes if node and node.config.materialized == 'view' else [] -%}
    {%- set behind = graph.nodes.get(reads[0]) if reads | length == 1 else node -%}
    {%- if behind and behind.config.materialized == 'incremental' -%}
        {%- set window = run_query(
            "select min(window_start), max(window_end), coalesce(bool_or(window_start is null), true) from meta.replaced where model = '" ~ behind.name ~ "'"
        ).rows[0] -%}
        {%- if not window[2] -%}
        {%- set time = behind.config.meta.time -%}
        {%- do found.update({
            'rows': "(select * from %s where %s >= timestamp '%s' and %s < timestamp '%s')" | format(model, time, window[0], time, window[1])
        }) -%}
        {%- endif -%}
    {%- endif -%}
    {%- endif -%}
    {{ found.rows }}
{%- endmacro %}

{% test unique_key(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as rows_of_key from {{ tested_rows(model) }} group by all having count(*) > 1
{% endtest %}

{% test holds(model, condition) %}
    select * from {{ tested_rows(model) }} where not ({{ condition }})
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
    select * from (select concat_ws(', ', {{ wrong | join(', ') or "''" }}) as wrong_columns, * from {{ tested_rows(model) }}) where wrong_columns <> ''
{% endtest %}
