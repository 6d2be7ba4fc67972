-- The same event by request and by stream is one event: where ids differ (`heard_as`), the rows of a request are left out within what was
-- heard of the instrument, in favour of the stream's. At the ends of what was heard, an event whose two stamps differ can be there twice
-- or not at all. What is true of a row may depend on the way it came (`facts_of`).
with events as (
    select * replace (lower(raw_side) as raw_side), {{ from_ms('raw_ms') }} as liquidated_at
    from ({{ union_staged('liquidations') }})
),

heard as (
    select source, coalesce(symbol, '') as heard_as, heard_from, heard_to
    from {{ ref('int_stream_windows') }}
    where stream = 'liquidations'
)

select
    e.* exclude (nulled),
    -- The order that closes a long position sells; `long` and `short` are words for a position alone.
    case
        when e.raw_side in ('long', 'short') then e.raw_side
        when side.value || ' ' || e.raw_side in ('order sell', 'position buy') then 'long'
        when side.value || ' ' || e.raw_side in ('order buy', 'position sell') then 'short'
    end as liquidated_side,
    nullif(concat_ws('; ', e.nulled, case when liquidated_side is null then 'raw_side ' || coalesce(e.raw_side, 'missing') end), '') as nulled,
    kind.value as price_kind,
    completeness.value as completeness_class
from events as e
asof left join heard as h on e.source = h.source and e.heard_as = h.heard_as and e.liquidated_at >= h.heard_from
{%- for alias, fact in {'side': 'side_meaning', 'kind': 'price_kind', 'completeness': 'completeness_class'}.items() %}
{%- set of_its_way = "'" ~ fact ~ "' || coalesce(' of ' || e.facts_of, '')" %}
{{ join_fact(alias=alias, relation='e', dataset='liquidations', fact=of_its_way, at='e.liquidated_at') }}
{%- endfor %}
where h.heard_to is null or e.liquidated_at >= h.heard_to
