select * exclude (_versions)
from {{ ref('int_archive_differences') }}
where differing > 0
