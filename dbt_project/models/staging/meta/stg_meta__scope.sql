select
    market,
    origin,
    mode,
    window_start,
    window_end,
    as_of,
    assets,
    venues,
    price_proxy,
    sources
from {{ source('meta', 'scope') }}
