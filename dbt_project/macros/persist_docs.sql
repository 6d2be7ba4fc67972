{#
  Writes the comments of a relation and its columns: whenever it is made, which for an incremental model is once or with `--full-refresh`.
  A column's comment is its description in the model's YAML, else its description in `vars: datasets`, where the name of a staging or
  intermediate model ends with the dataset's. A column with neither fails the build.
  A unit (`config.meta.unit` in the YAML) stands behind it in brackets, where `pipelines/units.py` finds it.
  In a lake, whose views can't have comments on columns, those of marts are in `meta.view_columns`.
#}
{% macro persist_docs(relation, model, for_relation=true, for_columns=true) -%}
    {%- if model.resource_type == 'model' and not (model.config.materialized == 'incremental' and has_comment(relation)) -%}
    {%- set own = model.columns -%}
    {%- set dataset_columns = {} -%}
    {%- for name, dataset in var('datasets').items() if model.name.replace('_now', '').endswith('_' ~ name) and model.name[:4] in ('stg_', 'int_') -%}
        {%- do dataset_columns.update(dataset.columns) -%}
    {%- endfor -%}
    {%- set is_view_of_lake = relation.type == 'view' and adapter.is_ducklake(relation) -%}
    {%- set statements = ['comment on ' ~ relation.type ~ ' ' ~ relation ~ ' is ' ~ duckdb_escape_comment(model.description)] -%}
    {%- if is_view_of_lake and relation.schema == 'marts' -%}
        {%- do statements.append("delete from meta.view_columns where view = '" ~ relation.identifier ~ "'") -%}
    {%- endif -%}
    {#- In one cell: dbt tells the type of each cell of a result, which took a tenth of its time here. -#}
    {%- set columns = run_query("select string_agg(column_name, ' ') from (describe " ~ relation ~ ")").rows[0][0] -%}
    {%- for column in columns.split() -%}
        {%- set description = own[column].description if column in own else dataset_columns[column][1] if column in dataset_columns -%}
        {%- if not description -%}
            {%- do exceptions.raise_compiler_error(
                relation.schema ~ '.' ~ relation.identifier ~ '.' ~ column ~ ' has no description: add it to the yml of the model') -%}
        {%- endif -%}
        {%- set unit = own[column].meta.unit if column in own -%}
        {%- set comment = duckdb_escape_comment(description ~ ' [' ~ unit ~ ']' if unit else description) -%}
        {%- if not is_view_of_lake -%}
            {%- do statements.append('comment on column ' ~ relation ~ '.' ~ adapter.quote(column) ~ ' is ' ~ comment) -%}
        {%- elif relation.schema == 'marts' -%}
            {%- do statements.append("insert into meta.view_columns values ('" ~ relation.identifier ~ "', '" ~ column ~ "', " ~ comment ~ ")") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do run_query(statements | join(';\n')) -%}
    {%- endif -%}
{%- endmacro %}

{# True if columns of the table already have comments. In a lake `duckdb_tables()` would ask the catalog for each table of it. #}
{% macro has_comment(relation) -%}
    {{ return(run_query(
        "select count(comment) from duckdb_columns() where schema_name = '" ~ relation.schema ~ "' and table_name = '" ~ relation.identifier ~ "'"
    ).rows[0][0] > 0) }}
{%- endmacro %}
