with nulled as (  -- rows of instruments in scope with a number that can't be
    select f.day, c.source, f.venue, f.dataset, count(*) as rows_nulled
    from (
        {%- for name, dataset in var('datasets').items() if dataset.expected_per_day %}
        select {{ dataset.time }}::date as day, venue, instrument_id, '{{ name }}' as dataset from {{ ref(dataset.fact) }} where nulled is not null
        {{ "union all" if not loop.last }}
        {%- endfor %}
    ) as f
    inner join {{ ref('int_calendar') }} as c on f.day = c.day and f.instrument_id = c.instrument_id
    group by all
),

sources as (select * from ({{ sources_table() }})),

silent as (  -- sources in scope that list instruments, and listed none: every asset in scope counts as missing
    select
        unnest(generate_series(r.window_start, r.window_end - interval 1 day, interval 1 day))::date as day,
        split_part(s.pair, ':', 2) as venue,
        split_part(s.pair, ':', 1) as source,
        len(r.assets) as assets
    from {{ ref('stg_meta__scope') }} as r
    cross join unnest(r.sources) as s(pair)
    where s.pair not in (select source || ':' || venue from {{ ref('int_instruments') }})
        and split_part(s.pair, ':', 1) in (select source from sources where dataset = 'instruments')
        and not list_contains(r.assets, 'all')
)

select
    day,
    venue,
    source,
    dataset,
    sum(expected)::bigint as expected,
    sum(seen)::bigint as seen,
    sum(seen) / sum(expected) as coverage,
    sum(comparable)::bigint as comparable,
    coalesce(any_value(n.rows_nulled), 0) as rows_nulled
from (
    select day, venue, source, dataset, expected, seen, comparable from {{ ref('int_coverage') }}
    union all
    select u.day, u.venue, u.source, due.dataset, u.assets * due.per_day, 0, 0
    from silent as u
    cross join (values
        {%- for name, dataset in var('datasets').items() if dataset.expected_per_day %}
        ('{{ name }}', {{ dataset.expected_per_day }}) {%- if not loop.last %}, {% endif %}
        {%- endfor %}
    ) as due(dataset, per_day)
)
left join nulled as n using (day, venue, source, dataset)
group by day, venue, source, dataset
