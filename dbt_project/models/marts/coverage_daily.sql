select
    day,
    venue,
    dataset,
    sum(expected)::bigint as expected,
    sum(seen)::bigint as seen,
    sum(seen) / sum(expected) as coverage
from {{ ref('int_coverage') }}
group by all
