select
    o.*,
    s.value::double as sides_counted,
    o.raw_value / s.value::double as one_sided
from (
    {{ union_of('open_interest') }}
    union all by name
    {{ union_of('open_interest_now') }}
) as o
{{ join_fact('s', 'o', 'open_interest', "'sides_of_' || o.raw_field", 'o.stamp') }}
