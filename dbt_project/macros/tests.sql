{# Generic tests of this project: each returns the offending rows. #}

{#
  The rows of a mart that a blocking test reads: those that this run has replaced, where the mart is an incremental model or a view of one (no seed).
  Rows that failed before are among them: a run that a test has stopped is not noted as built. Tests that only warn read all rows, and so
  does a run without a changed window.
#}
{% macro tested_rows(model) -%}
    {%- set found = {'rows': model} -%}
    {%- set behind = incremental_behind(model) -%}
    {%- if behind and var('changed_from') and config.get('severity', 'error') | lower != 'warn' -%}
        {%- set window = run_query(
            "select
                coalesce(min(window_start) filter (window_start < window_end), 'epoch'),
                coalesce(max(window_end) filter (window_start < window_end), 'epoch'),
                coalesce(bool_or(window_start is null), true)
            from meta.replaced where model = '" ~ behind.name ~ "'"
        ).rows[0] -%}
        {%- if not window[2] -%}
        {%- set time = behind.config.meta.time -%}
        {%- do found.update({
            'rows': "(select * from %s where %s >= timestamp '%s' and %s < timestamp '%s')" | format(model, time, window[0], time, window[1])
        }) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(found.rows) }}
{%- endmacro %}

{# The node of the incremental model that a mart is, or is a view of; none for other marts. #}
{% macro incremental_behind(model) -%}
    {%- set node = graph.nodes.get('model.perplake.' ~ model.identifier) if execute -%}
    {%- set reads = node.depends_on.nodes if node and node.config.materialized == 'view' else [] -%}
    {%- set behind = graph.nodes.get(reads[0]) if reads | length == 1 else node -%}
    {{ return(behind if behind and behind.config.materialized == 'incremental' else none) }}
{%- endmacro %}

{#
  Many rows are compared month by month, where the key has the time, until one has a duplicate: the keys of years would not fit into the
  memory that a run may take.
#}
{% test unique_key(model, columns) %}
    {%- set rows, behind = tested_rows(model), incremental_behind(model) -%}
    {%- set time = behind.config.meta.time if behind -%}
    {%- set several = "select %s, count(*) as rows_of_key from %s where %s group by all having count(*) > 1" -%}
    {%- set where = namespace(condition='true') -%}
    {#- Not where a test is compiled alone, as for dbt's documentation: the mart may not be made yet. -#}
    {%- if time in columns and flags.WHICH in ('build', 'test') and run_query("select count(*) from %s" % rows).rows[0][0] > var('keys_at_a_time') -%}
        {%- set where.condition = 'false' -%}
        {%- set months = run_query("select distinct date_trunc('month', %s)::timestamp from %s order by 1" % (time, rows)).columns[0] -%}
        {%- for month in months if where.condition == 'false' -%}
            {%- set of_month = "%s >= timestamp '%s' and %s < timestamp '%s' + interval 1 month" % (time, month, time, month) -%}
            {%- if run_query(several % (columns | join(', '), rows, of_month) ~ " limit 1").rows -%}
                {%- set where.condition = of_month -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ several % (columns | join(', '), rows, where.condition) }}
{% endtest %}

{% test holds(model, condition) %}
    select * from {{ tested_rows(model) }} where not ({{ condition }})
{% endtest %}

{# dbt's own, of the rows that a run has replaced. #}
{% test accepted_values(model, column_name, values) %}
    {{ dbt.default__test_accepted_values(tested_rows(model), column_name, values) }}
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
