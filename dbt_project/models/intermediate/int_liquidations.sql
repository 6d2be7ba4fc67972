select
    l.*,
    -- An order that closes a long sells; a position names itself.
    case m.value || ' ' || l.raw_side
        when 'order sell' then 'long' when 'order buy' then 'short'
        when 'position buy' then 'long' when 'position sell' then 'short'
    end as liquidated_side,
    p.value as price_kind,
    c.value as completeness_class
from ({{ union_of('liquidations') }}) as l
{{ join_fact('m', 'l', 'liquidations', "'side_meaning'", 'l.liquidated_at') }}
{{ join_fact('p', 'l', 'liquidations', "'price_kind'", 'l.liquidated_at') }}
{{ join_fact('c', 'l', 'liquidations', "'completeness_class'", 'l.liquidated_at') }}
