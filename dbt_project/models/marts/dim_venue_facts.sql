select s.venue, f.*
from {{ ref('venue_facts') }} as f
inner join (select distinct source, venue from ({{ sources_table() }})) as s using (source)
