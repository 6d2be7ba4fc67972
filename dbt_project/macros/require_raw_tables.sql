{# Stops with one message where the warehouse has no raw tables. Runs before each command that needs the warehouse (`on-run-start`). #}
{% macro require_raw_tables() -%}
    {%- if execute and run_query("select count(*) from duckdb_columns() where database_name = current_database() and schema_name in ('raw', 'meta')").rows[0][0] == 0 -%}
        {%- do exceptions.raise_compiler_error(
            'the warehouse ' ~ (target.path if target.name != 'lake' else 'in the lake') ~ ' has no raw tables: run `perps run` or `perps load` first') -%}
    {%- endif -%}
{%- endmacro %}
