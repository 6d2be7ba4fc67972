select
    r.* exclude (venue, precedence, instrument_id),
    coalesce(a.venue, v.venue) as venue,
    coalesce(a.venue, v.venue) = r.venue as is_self_reported
from ({{ union_of('references') }}) as r
left join {{ ref('venue_aliases') }} as a on r.source = a.source and r.covers = a.name
left join {{ ref('venues') }} as v on r.covers = v.venue
