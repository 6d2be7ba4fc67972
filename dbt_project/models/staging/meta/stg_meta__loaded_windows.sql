select
    source,
    dataset,
    symbol,
    window_start,
    window_end
from {{ source('meta', 'loaded_windows') }}
