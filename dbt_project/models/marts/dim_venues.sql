select * from {{ ref('venues') }}
union all by name
-- Of those that are only known by ccxt there is no more than the name.
select distinct i.venue, i.venue as title, 'open' as state
from {{ ref('dim_instruments') }} as i
anti join {{ ref('venues') }} as v using (venue)
