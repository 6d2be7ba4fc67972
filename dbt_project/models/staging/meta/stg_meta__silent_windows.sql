select
    source,
    dataset,
    venue,
    symbol,
    window_start,
    window_end
from {{ source('meta', 'silent_windows') }}
