-- The sessions of all sources with streams: a part of a connection in which some instruments were heard without a gap.
{%- for name, row in var('sources').items() if row.get('streams') %}
{{ 'union all' if not loop.first }}
select
    '{{ row.venue }}' as venue,
    '{{ name }}' as source,
    stream,
    session,
    part,
    nullif(symbols, '') as symbols,
    {{ from_ms('connected_at') }} as connected_at,
    {{ from_ms('heard_from') }} as heard_from,
    {{ from_ms('heard_to') }} as heard_to,
    {{ from_ms('ended_at') }} as ended_at,
    ended,
    messages,
    bytes,
    events,
    missing,
    dropped,
    _observed_at
from {{ source(name, 'sessions') }}
{%- endfor %}
