select * from {{ ref('venues') }}
union all by name
-- Of venues that are only known through ccxt the name is all that is known.
select distinct i.venue, i.venue as title, 'open' as state
from {{ ref('dim_instruments') }} as i
anti join {{ ref('venues') }} as v using (venue)
