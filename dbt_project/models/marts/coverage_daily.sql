with nulled as (  -- rows of instruments in scope with a number that can't be
    select f.day, f.venue, f.dataset, count(*) as rows_nulled
    from (
        {%- for name, dataset in var('datasets').items() if dataset.expected_per_day %}
        select {{ dataset.time }}::date as day, venue, instrument_id, '{{ name }}' as dataset from {{ ref(dataset.fact) }} where nulled is not null
        {{ "union all" if not loop.last }}
        {%- endfor %}
    ) as f
    semi join {{ ref('int_calendar') }} as c on f.day = c.day and f.instrument_id = c.instrument_id
    group by all
),

silent as (  -- venues in scope without any instrument: every asset in scope counts as missing
    select unnest(generate_series(r.window_start, r.window_end - interval 1 day, interval 1 day))::date as day, v.venue, len(r.assets) as assets
    from {{ ref('stg_meta__scope') }} as r
    cross join unnest(r.venues) as v(venue)
    where v.venue not in (select venue from {{ ref('dim_instruments') }}) and not list_contains(r.assets, 'all')
)

select
    day,
    venue,
    dataset,
    sum(expected)::bigint as expected,
    sum(seen)::bigint as seen,
    sum(seen) / sum(expected) as coverage,
    sum(comparable)::bigint as comparable,
    coalesce(any_value(n.rows_nulled), 0) as rows_nulled
from (
    select day, venue, dataset, expected, seen, comparable from {{ ref('int_coverage') }}
    union all
    select u.day, u.venue, due.dataset, u.assets * due.per_day, 0, 0
    from silent as u
    cross join (values
        {%- for name, dataset in var('datasets').items() if dataset.expected_per_day %}
        ('{{ name }}', {{ dataset.expected_per_day }}) {%- if not loop.last %}, {% endif %}
        {%- endfor %}
    ) as due(dataset, per_day)
)
left join nulled as n using (day, venue, dataset)
group by day, venue, dataset
