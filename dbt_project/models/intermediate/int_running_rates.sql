select
    * replace (coalesce(raw_unit, 'fraction_per_interval') as raw_unit),
    {{ rate_per_interval(rate='raw_rate', unit='raw_unit', interval_hours='interval_hours', mark_price='mark_price') }} as rate_interval
from ({{ union_staged('running_rates') }})
