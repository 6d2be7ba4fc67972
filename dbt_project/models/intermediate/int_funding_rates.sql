with settlements as (
    select *, {{ from_ms('raw_ms') }} as stamp, {{ settlement_time('raw_ms') }} as settled_at
    from ({{ union_staged('funding_rates') }})
)

select
    s.* replace (
        coalesce(s.stated_interval_hours, fixed.value::double) as stated_interval_hours,
        coalesce(s.raw_unit, 'fraction_per_interval') as raw_unit
    ),
    {{ rate_per_interval(
        rate='s.raw_rate', unit='s.raw_unit', interval_hours='s.stated_interval_hours', mark_price='s.mark_price'
    ) }} as rate_interval
from settlements as s
{{ join_fact(alias='fixed', relation='s', dataset='funding_rates', fact="'fixed_interval_hours'", at='s.settled_at') }}
