{%- set vendors = [] %}
{%- for name, row in var('sources').items() if row.get('named_in') %}{% do vendors.append("'" ~ name ~ "'") %}{% endfor %}
with nulled as (  -- rows of instruments in scope with a number that can't be
    select f.day, c.source, f.venue, f.dataset, count(*) as rows_nulled
    from (
        {%- for name, dataset in var('datasets').items() if dataset.expected_per_day or name == 'order_book_depth' %}
        select {{ dataset.time }}::date as day, venue, instrument_id, '{{ name }}' as dataset from {{ ref(dataset.fact) }} where nulled is not null
        {{ "union all" if not loop.last }}
        {%- endfor %}
    ) as f
    inner join {{ ref('int_calendar') }} as c on f.day = c.day and f.instrument_id = c.instrument_id
    group by all
),

sources as (select * from ({{ sources_table() }})),

{%- if vendors %}

hours as (  -- what sources of several venues gave, by the hour: bars and points
    select source, instrument_id, 'candles' as dataset, opened_at::date as day, count(distinct opened_at) as seen
    from {{ ref('int_candles') }}
    where source in ({{ vendors | join(', ') }}) and close is not null
    group by all
    union all
    select source, instrument_id, 'open_interest', observed_at::date, count(distinct observed_at)
    from {{ ref('int_open_interest') }}
    where source in ({{ vendors | join(', ') }}) and raw_value is not null
    group by all
),

second as (  -- such a source in scope owes what the venue's own owes, of the instruments that it lists as well
    select c.day, c.venue, t.source, c.dataset, c.expected, least(coalesce(h.seen, 0), c.expected) as seen
    from {{ ref('int_coverage') }} as c
    inner join (select distinct source, venue, instrument_id from {{ ref('int_instruments') }}) as i
        on c.instrument_id = i.instrument_id and c.source <> i.source and i.source in ({{ vendors | join(', ') }})
    inner join sources as t on i.source = t.source and c.dataset = t.dataset and c.dataset in ('candles', 'open_interest')
    inner join {{ ref('stg_meta__scope') }} as r on list_contains(r.sources, i.source || ':' || i.venue)
    left join hours as h
        on c.instrument_id = h.instrument_id and c.day = h.day and c.dataset = h.dataset and t.source = h.source
),
{%- endif %}

polled as (  -- order books: each instrument from its first book of a day on, in the rounds in which any book of its source came
    select b.day, b.venue, b.source, sum(r.rounds_left) as expected, sum(b.seen) as seen
    from (
        select venue, source, instrument_id, observed_at::date as day, min(observed_at) as first_at, count(mid) as seen
        from {{ ref('fct_order_book_depth') }}
        group by all
    ) as b
    inner join (
        select venue, source, observed_at, count(*) over (partition by venue, source, observed_at::date order by observed_at desc) as rounds_left
        from (select distinct venue, source, observed_at from {{ ref('fct_order_book_depth') }})
    ) as r
        on b.venue = r.venue and b.source = r.source and b.first_at = r.observed_at
    group by all
),

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
    c.day,
    c.venue,
    c.source,
    c.dataset,
    c.expected,
    c.seen,
    c.seen / c.expected as coverage,
    c.comparable,
    coalesce(n.rows_nulled, 0) as rows_nulled
from (
    select day, venue, source, dataset, sum(expected)::bigint as expected, sum(seen)::bigint as seen, sum(comparable)::bigint as comparable
    from (
        select day, venue, source, dataset, expected, seen, comparable from {{ ref('int_coverage') }}
        {%- if vendors %}
        union all
        select day, venue, source, dataset, expected, seen, seen from second
        {%- endif %}
        union all
        select day, venue, source, 'order_book_depth', expected, seen, seen from polled
        union all
        select u.day, u.venue, u.source, due.dataset, u.assets * due.per_day, 0, 0
        from silent as u
        cross join (values
            {%- for name, dataset in var('datasets').items() if dataset.expected_per_day %}
            ('{{ name }}', {{ dataset.expected_per_day }}) {%- if not loop.last %}, {% endif %}
            {%- endfor %}
        ) as due(dataset, per_day)
    )
    group by all
) as c
left join nulled as n using (day, venue, source, dataset)
