{#
  Incremental models: the rows of a window are deleted and computed again from upstream, so that the result equals a full rebuild,
  whatever the order in which days are loaded. A model names its time column and its margins, in hours, in `meta`: `look_back` and
  `look_ahead` widen the window of changed raw rows (`vars: changed_from, changed_to`) to the rows that depend on them. A row computed
  with other versions of its instrument than the current ones (`_versions`) widens the window too: rows are compared of those instruments
  whose versions are others than in `meta.built_versions`, with which all rows were made.

  A model that reads no raw rows names in `follows` the models that it reads: its window is the hull of the changed raw rows and of what
  changed in these models since a whole build last ended (rows of `meta.replaced` with an `invocation`: a build that was killed halfway is
  among them), with the margins; `look_ahead: always` reaches to the end. Raw rows count by themselves, since an answer without rows says that
  a day had no liquidations. A model of months (`time: month`) replaces these months and the next, which is judged with the
  month before. Of a model of days, the days are noted on which its rows are not as they were: its window has margins in which mostly
  nothing changes. So does a table that names a `compare_by`, which is made whole.
#}

{% macro replaced_window() -%}
    {%- set meta = config.get('meta') -%}
    {%- set window = {'from': none, 'to': none} -%}
    {%- set aligned = "date_trunc('" ~ meta.time ~ "', timestamp '%s')" if meta.time in ('day', 'month') else "timestamp '%s'" -%}
    {%- if execute and not is_incremental() and var('build_until') and not meta.follows -%}
    {%- do window.update({'from': "timestamp '1970-01-01'", 'to': "timestamp '%s'" % var('build_until')}) -%}
    {%- elif execute and is_incremental() and meta.follows -%}
    {%- set of_raw = "timestamp '%s'" % var('changed_from') if var('changed_from') else "null::timestamp" -%}
    {%- set to_raw = "timestamp '%s'" % var('changed_to') if var('changed_to') else "null::timestamp" -%}
    {%- set row = run_query(
        "select
            coalesce(least(" ~ of_raw ~ ", min(window_start) filter (window_start < window_end)) - interval " ~ meta.get('look_back', 0) ~ " hour, 'epoch'),
            coalesce(greatest(" ~ to_raw ~ ", max(window_end) filter (window_start < window_end))
                + interval " ~ (0 if meta.look_ahead == 'always' else meta.get('look_ahead', 0)) ~ " hour, 'epoch'),
            coalesce(bool_or(window_start is null), true)
        from meta.replaced where invocation is not null and model in ('" ~ meta.follows | join("', '") ~ "')"
    ).rows[0] -%}
    {%- if not row[2] -%}
    {%- do window.update({
        'from': aligned % row[0],
        'to': "timestamp '2200-01-01'" if meta.look_ahead == 'always' else aligned % row[1] ~ {'day': " + interval 1 day", 'month': " + interval 2 month"}[meta.time]
    }) -%}
    {%- endif -%}
    {%- elif execute and is_incremental() -%}
    {%- set changed_from, changed_to = var('changed_from'), var('changed_to') -%}
    {%- if changed_from and changed_to -%}
        {%- set row = run_query(
            "with versions as (select instrument_id, any_value(_versions) as _versions from " ~ ref('int_instrument_versions') ~ " group by 1),
            changed as (
                select coalesce(v.instrument_id, b.instrument_id) as instrument_id, v._versions
                from versions as v full join meta.built_versions as b on v.instrument_id = b.instrument_id
                where v._versions is distinct from b.versions),
            stale as (
                select min(t." ~ meta.time ~ ")::timestamp as first, max(t." ~ meta.time ~ ")::timestamp as last
                from " ~ this ~ " as t inner join changed as v using (instrument_id)
                where t._versions is distinct from v._versions)
            select
                least(timestamp '" ~ changed_from ~ "' - interval " ~ meta.look_back ~ " hour, first),
                greatest(timestamp '" ~ changed_to ~ "' + interval " ~ meta.look_ahead ~ " hour, last + interval 1 day)
            from stale"
        ).rows[0] -%}
        {%- do window.update({'from': aligned % row[0], 'to': aligned % row[1]}) -%}
    {%- endif -%}
    {%- endif -%}
    {{ return(window) }}
{%- endmacro %}

{# True if `column` is in the window, widened by `margin` hours on both sides for the inputs of its rows. #}
{% macro in_window(column, window, margin=0) -%}
    {%- if window.from is none -%} true
    {%- else -%} {{ column }} >= {{ window.from }} - interval {{ margin }} hour and {{ column }} < {{ window.to }} + interval {{ margin }} hour
    {%- endif -%}
{%- endmacro %}

{# The same for a column in milliseconds, so that DuckDB skips the blocks of a raw table outside of the window. #}
{% macro in_window_ms(column, window, margin=0) -%}
    {%- if window.from is none -%} true
    {%- else -%}
    {{ column }} >= epoch_ms({{ window.from }} - interval {{ margin }} hour) and {{ column }} < epoch_ms({{ window.to }} + interval {{ margin }} hour)
    {%- endif -%}
{%- endmacro %}

{% macro get_incremental_replace_window_sql(arguments) -%}
    {%- set names = arguments.dest_columns | map(attribute='quoted') | join(', ') -%}
    {%- set window, time = replaced_window(), config.get('meta').time -%}
    {%- if is_compared() -%}
    {%- set before = "(select %s from %s where %s)" | format(names, arguments.target_relation, in_window(time, window)) -%}
    {%- set after = "(select %s from %s)" | format(names, arguments.temp_relation) -%}
    {{ note_differing(sums_by_day(before, time), sums_by_day(after, time)) }};
    {% endif -%}
    delete from {{ arguments.target_relation }} where {{ in_window(time, window) }};
    insert into {{ arguments.target_relation }} ({{ names }}) select {{ names }} from {{ arguments.temp_relation }};
{%- endmacro %}

{# True of a model of days of which a window is replaced: the days that differ are noted, not the window. #}
{% macro is_compared() -%}
    {{ return(config.get('meta').time == 'day' and is_incremental() and replaced_window().from is not none) }}
{%- endmacro %}

{# By day, a sum of a relation's rows that is another one where any of them is. #}
{% macro sums_by_day(relation, day) -%}
    select {{ day }} as day, sum(hash(t)::hugeint) as sum from {{ relation }} as t group by all
{%- endmacro %}

{# Notes the hull of the days on which two sums by day differ; a window without length where none do. #}
{% macro note_differing(before, after) -%}
    insert into meta.replaced (model, window_start, window_end, invocation)
    select '{{ this.identifier }}', coalesce(min(day), 'epoch'), coalesce(max(day) + interval 1 day, 'epoch'), '{{ invocation_id }}'
    from ({{ after }}) as after
    full join ({{ before }}) as before using (day)
    where after.sum is distinct from before.sum
{%- endmacro %}

{# Notes the window that an incremental model is about to replace, for publishing; without bounds: the whole table. In its transaction. #}
{% macro note_replaced() -%}
    {%- if execute and config.get('materialized') == 'incremental' and not is_compared() -%}
    {%- set window = replaced_window() -%}
    insert into meta.replaced (model, window_start, window_end, invocation)
    select '{{ this.identifier }}', {{ window.from or 'null' }}, {{ window.to or 'null' }}, '{{ invocation_id }}'
    {%- endif -%}
{%- endmacro %}
