select
    f.* replace (coalesce(f.stated_interval_hours, fixed.value::double) as stated_interval_hours)
from ({{ union_of('funding_rates') }}) as f
{{ join_fact('fixed', 'f', 'funding_rates', "'fixed_interval_hours'", 'f.settled_at') }}
