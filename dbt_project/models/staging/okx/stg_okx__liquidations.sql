-- The venue gives no name to an event: what makes it one, and its number among equals. A row of a request and one of the stream have the
-- same.
{% for table in ('liquidations', 'liquidations_stream') %}
select
    symbol,
    concat_ws(':', ts, side, sz, bk_px, nullif(nth, 0)) as event_id,
    ts as raw_ms,
    side as raw_side,
    bk_px as price,
    sz as raw_size,
    'contracts' as raw_unit,
    _observed_at
from {{ source('okx', table) }}
{{ 'union all' if not loop.last }}
{%- endfor %}
