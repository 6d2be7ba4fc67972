{#
  Incremental models: the rows of a window are deleted and made anew from upstream, so that the result is that of a full
  rebuild whatever the order in which days came. A model names its time column and its margins, in hours, in `meta`:
  `look_back` and `look_ahead` widen the window of changed raw rows to that of rows which they can move. A row made under
  other versions of its instrument than are known now (`_versions`) widens the window too.

  The window of changed raw rows comes as variables, or as environment variables of the same names with `PERPLAKE_` before
  them in capitals: those leave dbt's parsed project as it is, which saves seconds.
#}

{% macro replaced_window() -%}
    {%- set meta = config.get('meta') -%}
    {%- set window = {'from': none, 'to': none} -%}
    {%- if execute and is_incremental() -%}
    {%- set changed_from = var('changed_from') or env_var('PERPLAKE_CHANGED_FROM', '') -%}
    {%- set changed_to = var('changed_to') or env_var('PERPLAKE_CHANGED_TO', '') -%}
    {%- if changed_from and changed_to -%}
        {%- set row = run_query(
            "with versions as (select instrument_id, any_value(_versions) as _versions from " ~ ref('dim_instruments') ~ " group by 1),
            stale as (
                select min(t." ~ meta.time ~ ")::timestamp as first, max(t." ~ meta.time ~ ")::timestamp as last
                from " ~ this ~ " as t left join versions as v using (instrument_id)
                where t._versions is distinct from v._versions)
            select
                least(timestamp '" ~ changed_from ~ "' - interval " ~ meta.look_back ~ " hour, first),
                greatest(timestamp '" ~ changed_to ~ "' + interval " ~ meta.look_ahead ~ " hour, last + interval 1 day)
            from stale"
        ).rows[0] -%}
        {%- set aligned = "date_trunc('day', timestamp '%s')" if meta.time == 'day' else "timestamp '%s'" -%}
        {%- do window.update({'from': aligned % row[0], 'to': aligned % row[1]}) -%}
    {%- endif -%}
    {%- endif -%}
    {{ return(window) }}
{%- endmacro %}

{# `column` lies in the window, widened by so many hours on both sides for what a row is computed from. #}
{% macro in_window(column, window, margin=0) -%}
    {%- if window.from is none -%} true
    {%- else -%} {{ column }} >= {{ window.from }} - interval {{ margin }} hour and {{ column }} < {{ window.to }} + interval {{ margin }} hour
    {%- endif -%}
{%- endmacro %}

{# The same on a venue's milliseconds, which let DuckDB skip the blocks of a raw table that lie outside. #}
{% macro in_window_ms(column, window, margin=0) -%}
    {%- if window.from is none -%} true
    {%- else -%}
    {{ column }} >= epoch_ms({{ window.from }} - interval {{ margin }} hour) and {{ column }} < epoch_ms({{ window.to }} + interval {{ margin }} hour)
    {%- endif -%}
{%- endmacro %}

{% macro get_incremental_replace_window_sql(arguments) -%}
    {%- set names = arguments.dest_columns | map(attribute='quoted') | join(', ') -%}
    delete from {{ arguments.target_relation }} where {{ in_window(config.get('meta').time, replaced_window()) }};
    insert into {{ arguments.target_relation }} ({{ names }}) select {{ names }} from {{ arguments.temp_relation }};
{%- endmacro %}
