{# The canonical columns of a dataset as {name: [type, description]}, from `vars: datasets`. #}
{% macro canonical_columns(dataset) -%}
    {{ return(var('datasets')[dataset | replace('_now', '')].columns) }}
{%- endmacro %}

{# True if a number can be what its column says (`vars: possible`): finite, and within the bounds of its kind. #}
{% macro is_possible(value, column, dataset=none) -%}
    {%- set bounds = namespace(low='-1e18', high='1e18', zero=false) -%}
    {%- for kind in var('possible').values() if column in kind.columns or dataset ~ '.' ~ column in kind.columns %}
        {%- set bounds.low, bounds.high, bounds.zero = kind.low, kind.high, kind.get('zero', false) -%}
    {%- endfor -%}
    ({{ value }} between {{ bounds.low }} and {{ bounds.high }} {%- if bounds.zero %} or {{ value }} = 0 {%- endif %})
{%- endmacro %}

{#
  The sources that have raw rows in this warehouse, or all of them where none has. A source without rows adds nothing to a union, and
  its staging models take most of dbt's time; `assets/defs/dbt.py` leaves them out by the same rule, and names the others in `vars: loaded`.
#}
{% macro loaded_sources() -%}
    {%- set sources = var('sources') -%}
    {%- if not execute -%}
        {{ return(sources) }}
    {%- endif -%}
    {%- set loaded = {} -%}
    {%- set names = var('loaded', none) -%}
    {%- if names is none -%}
        {%- set names = run_query("select table_name from duckdb_tables() where schema_name = 'raw' and estimated_size > 0").columns[0].values() -%}
    {%- endif -%}
    {%- for table in names -%}
        {%- set name = table.split('__')[0] -%}
        {%- do loaded.update({name: sources[name]}) if name in sources -%}
    {%- endfor -%}
    {{ return(loaded or sources) }}
{%- endmacro %}

{#
  The rows of a dataset from the staging models of the loaded sources that list it, in canonical columns. A new row in `vars: sources` needs no
  change here. A number that can't be becomes null, and `nulled` names it with its value, also the time of a present value. A row of the
  past whose time can't be is in quarantine, and here only if an older version loaded it: it is left out.
#}
{% macro union_staged(dataset) -%}
{%- set has_time = 'raw_ms between 1388534400000 and 2208988799999' -%}  {#- 2014 to 2039, as in pipelines/records.py #}
{%- set columns = canonical_columns(dataset) -%}
{%- set is_now = dataset.endswith('_now') -%}
{%- set possible = {'raw_ms': has_time} if is_now and 'raw_ms' in columns else {} -%}
{%- for name, column in columns.items() if column[0] == 'double' -%}
    {%- do possible.update({name: is_possible(name, name, dataset | replace('_now', ''))}) -%}
{%- endfor -%}
select
    venue || ':' || symbol as instrument_id,
    * replace (
        {%- for name, test in possible.items() %}
        case when {{ test }} then {{ name }} end as {{ name }} {{- "," if not loop.last }}
        {%- endfor %}
    ),
    nullif(concat_ws('; '
        {%- for name, test in possible.items() %},
        case when not {{ test }} then '{{ name }} ' || {{ name }} end
        {%- endfor %}
    ), '') as nulled
from (
    select null::varchar as source, 0 as precedence
        {%- for name, column in columns.items() %}, null::{{ column[0] }} as {{ name }} {%- endfor %}
    where false
    {%- for name, row in loaded_sources().items() if dataset in row.datasets %}
    union all by name
    {#- The rows of a source for several venues name their venue. #}
    select {% if row.get('venue') %}'{{ row.venue }}' as venue, {% endif %}'{{ name }}' as source, {{ row.get('precedence', 1) }} as precedence, *
    from {{ ref('stg_' ~ name ~ '__' ~ dataset) }}
    {%- endfor %}
)
{%- if 'raw_ms' in columns and not is_now %}
where {{ has_time }}
{%- endif %}
{%- endmacro %}

{# The table of sources as rows: source, venue (null: several), archive_of, dataset, its endpoint, precedence, history_days (null: no limit). #}
{% macro sources_table() -%}
    select source, venue, archive_of, dataset, endpoint, precedence, history_days::double as history_days
    from (values
    {%- for name, row in var('sources').items() -%}
    {%- set last = loop.last -%}
    {%- for dataset in row.datasets %}
        ('{{ name }}', {{ "'" ~ row.venue ~ "'" if row.get('venue') else 'null' }},
            {{- " '" ~ row.archive_of ~ "'" if row.get('archive_of') else ' null' }}, '{{ dataset }}', '{{ row.get('endpoints', {}).get(dataset, dataset) }}',
            {{- ' ' ~ row.get('precedence', 1) }}, {{ row.get('history', {}).get(dataset, 'null') }}) {{- "," if not (last and loop.last) }}
    {%- endfor %}
    {%- endfor %}
    ) as listed (source, venue, archive_of, dataset, endpoint, precedence, history_days)
{%- endmacro %}

{# Joins a fact about the source of the relation `relation`, as `<alias>.value`. `fact` is an SQL expression; `at` the time it has to hold at. #}
{% macro join_fact(alias, relation, dataset, fact, at=none) -%}
    left join {{ ref('venue_facts') }} as {{ alias }}
        on {{ alias }}.source = {{ relation }}.source and {{ alias }}.dataset = '{{ dataset }}' and {{ alias }}.fact = {{ fact }}
        {%- if at %}
        and {{ at }} >= coalesce({{ alias }}.valid_from, '-infinity'::timestamp)
        and {{ at }} < coalesce({{ alias }}.valid_to, 'infinity'::timestamp)
        {%- endif %}
{%- endmacro %}

{#
  True if a row of the time `at` belongs to the instrument that `join_instrument` joined: listed by then, and not over. An instant may
  be the end itself, a bar opens before it.
#}
{% macro in_life(at, is_bar=false) -%}
    coalesce({{ at }} >= i.begins_at, true) and coalesce({{ at }} {{ '<' if is_bar else '<=' }} i.ends_at, true)
{%- endmacro %}

{# A fact about a source for several venues: the fact about the row's venue (`<fact> of <venue>`), else the one about all venues. #}
{% macro fact_about_venue(source_name, dataset, fact, venue) -%}
    (
        select arg_max(f.value, length(f.fact))
        from {{ ref('venue_facts') }} as f
        where f.source = '{{ source_name }}' and f.dataset = '{{ dataset }}' and f.fact in ('{{ fact }}', '{{ fact }} of ' || {{ venue }})
    )
{%- endmacro %}

{# Joins the version of the instrument that was valid at a time, as `i`; the first version is valid from 1970. #}
{% macro join_instrument(relation, at) -%}
    asof left join {{ ref('int_instrument_versions') }} as i
        on {{ relation }}.instrument_id = i.instrument_id and {{ at }} >= i.valid_from
{%- endmacro %}

{# A list of instruments that has the present too: as a run requested it, and as the collector polled it. #}
{% macro listed(source_name) -%}
    (select * from {{ source(source_name, 'instruments') }} union all by name select * from {{ source(source_name, 'listed_now') }})
{%- endmacro %}
