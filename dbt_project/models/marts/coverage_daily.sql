with unheard as (  -- venues that were asked and did not even give their instruments: no hole is silent
    select unnest(generate_series(r.window_start, r.window_end - interval 1 day, interval 1 day))::date as day, v.venue, len(r.assets) as assets
    from {{ source('meta', 'scope') }} as r
    cross join unnest(r.venues) as v(venue)
    where v.venue not in (select venue from {{ ref('dim_instruments') }}) and not list_contains(r.assets, 'all')
)

select
    day,
    venue,
    dataset,
    sum(expected)::bigint as expected,
    sum(seen)::bigint as seen,
    sum(seen) / sum(expected) as coverage
from (
    select day, venue, dataset, expected, seen from {{ ref('int_coverage') }}
    union all
    select u.day, u.venue, due.dataset, u.assets * due.a_day, 0
    from unheard as u
    cross join (values ('candles', 24), ('open_interest', 24), ('funding_rates', 3), ('liquidations', 1)) as due(dataset, a_day)
)
group by all
