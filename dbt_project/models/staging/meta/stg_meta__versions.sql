select
    source,
    dataset,
    symbol,
    happened_at,
    row_key,
    field,
    value,
    observed_at,
    run,
    page,
    place
from {{ source('meta', 'versions') }}
