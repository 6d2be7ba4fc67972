-- The venue gives no name to an event: what makes it one, and its number among equals. A row of a request and one of the stream have the
-- same.
{% for table in ('liquidations', 'liquidations_stream') %}
select
    symbol,
    concat_ws(':', ts, side, price, amount, nullif(nth, 0)) as event_id,
    ts as raw_ms,
    side as raw_side,
    price,
    amount as raw_size,
    {{ fact_about_venue(source_name='bitget', dataset='liquidations', fact='unit_of_amount', venue="'bitget'") }} as raw_unit,
    _observed_at
from {{ source('bitget', table) }}
{{ 'union all' if not loop.last }}
{%- endfor %}
