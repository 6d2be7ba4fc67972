with numbers as (
    select *
    from ({{ union_staged('references') }})
    union all by name
    select *, source as venue
    from {{ ref('int_vendor_references') }}
)

select
    r.* exclude (venue, precedence, instrument_id) replace (
        coalesce(r.value, case r.raw_unit
            when 'percent_per_interval' then r.raw_value / 100 when 'fraction_per_interval' then r.raw_value when 'usd' then r.raw_value
        end) as value,
        coalesce(r.unit, case when r.raw_unit like '%per_interval' then 'fraction_per_interval' else 'usd' end) as unit
    ),
    {{ base_asset('r.listed_asset', at='r._observed_at') }} as base_asset,
    coalesce(a.venue, v.venue) as venue,
    coalesce(a.venue, v.venue) = r.venue as is_self_reported
from numbers as r
left join {{ ref('venue_aliases') }} as a on r.source = a.source and r.covers = a.name
left join {{ ref('venues') }} as v on r.covers = v.venue
