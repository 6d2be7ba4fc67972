-- The calendar of the tables on liquidations, with the source that gives them: without what `int_series_faults` sets apart.
with days as (
    select c.* replace (coalesce(w.source, c.source) as source)
    from {{ ref('int_calendar') }} as c
    left join (select instrument_id, min(source) as source from {{ ref('int_liquidation_windows') }} group by instrument_id) as w using (instrument_id)
)

select
    c.day, c.venue, c.source, c.instrument_id, c.base_asset, c.due_from, c.due_to, k.value as completeness_class,
    s.value as completeness_class_of_stream
from days as c
{{ join_fact('k', 'c', 'liquidations', "'completeness_class'", 'c.day') }}
{{ join_fact('s', 'c', 'liquidations', "'completeness_class of stream'", 'c.day') }}
anti join (select * from {{ ref('int_series_faults') }} where kind = 'identity' or dataset = 'liquidations') as f
    on c.instrument_id = f.instrument_id and c.day between f.first_day and f.last_day
