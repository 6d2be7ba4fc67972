select
    source,
    venue,
    observed_at
from {{ source('meta', 'whole_lists') }}
