with sources as (select distinct source, venue from ({{ sources_table() }}))

select coalesce(s.venue, nullif(split_part(f.fact, ' of ', 2), '')) as venue, f.*
from {{ ref('venue_facts') }} as f
inner join sources as s using (source)
