{# All sources that give a dataset, one below the other, in canonical columns. A new row in `vars: sources` needs no change here. #}
{% macro union_of(dataset) -%}
    select ''::varchar as venue, ''::varchar as source, 0 as precedence, ''::varchar as instrument_id
        {%- for name, type in canonical_columns(dataset).items() %}, null::{{ type }} as {{ name }} {%- endfor %}
    where false
    {%- for name, row in var('sources').items() if dataset in row.datasets %}
    union all by name
    {#- A source that speaks for several venues has the venue in its rows. -#}
    {%- set venue = "'" ~ row.venue ~ "'" if row.venue else 'venue' %}
    select {{ venue }} as venue, '{{ name }}' as source, {{ row.precedence or 1 }} as precedence,
        {{ venue }} || ':' || symbol as instrument_id, * {%- if not row.venue %} exclude (venue) {%- endif %}
    from {{ ref('stg_' ~ name ~ '__' ~ dataset) }}
    {%- endfor %}
{%- endmacro %}

{# The table of sources as rows: source, venue (null: several), dataset, precedence, history_days (null: all of it). #}
{% macro sources_table() -%}
    {%- for name, row in var('sources').items() -%}
    {%- set last = loop.last -%}
    {%- for dataset in row.datasets %}
    select '{{ name }}' as source, {{ "'" ~ row.venue ~ "'" if row.venue else 'null' }} as venue, '{{ dataset }}' as dataset, {{ row.precedence or 1 }} as precedence,
        {{ row.get('history', {}).get(dataset, 'null') }}::double as history_days
    {{ "union all" if not (last and loop.last) }}
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}

{# Joins the fact about a source that held at a time, as `<alias>.value`. `name` is an SQL expression. #}
{% macro join_fact(alias, of, dataset, name, at=none) -%}
    left join {{ ref('venue_facts') }} as {{ alias }}
        on {{ alias }}.source = {{ of }}.source and {{ alias }}.dataset = '{{ dataset }}' and {{ alias }}.fact = {{ name }}
        {%- if at %}
        and {{ at }} >= coalesce({{ alias }}.valid_from, '-infinity'::timestamp)
        and {{ at }} < coalesce({{ alias }}.valid_to, 'infinity'::timestamp)
        {%- endif %}
{%- endmacro %}

{# Of a source that speaks for several venues: the fact about the row's venue (`<fact> of <venue>`), else about all of them. #}
{% macro fact_of_venue(source, dataset, fact, venue) -%}
    (
        select arg_max(f.value, length(f.fact))
        from {{ ref('venue_facts') }} as f
        where f.source = '{{ source }}' and f.dataset = '{{ dataset }}' and f.fact in ('{{ fact }}', '{{ fact }} of ' || {{ venue }})
    )
{%- endmacro %}

{# The version of the instrument that was valid at a time; the first one holds for ever back. #}
{% macro join_instrument(of, at) -%}
    asof left join {{ ref('dim_instruments') }} as i
        on {{ of }}.instrument_id = i.instrument_id and {{ at }} >= i.valid_from
{%- endmacro %}
