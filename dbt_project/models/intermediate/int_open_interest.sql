with observations as (
    select *, {{ from_ms('raw_ms') }} as stamp, false as is_snapshot
    from ({{ union_staged('open_interest') }})
    union all by name
    -- A snapshot without a stamp of the venue is as of the time of the request.
    select
        * replace (coalesce(raw_ms, epoch_ms(_observed_at)) as raw_ms),
        coalesce({{ from_ms('raw_ms') }}, _observed_at) as stamp,
        true as is_snapshot
    from ({{ union_staged('open_interest_now') }})
)

select
    o.*,
    date_trunc('hour', o.stamp) as observed_at,
    sides.value::double as sides_counted,
    o.raw_value / sides.value::double as one_sided
from observations as o
{{ join_fact(alias='sides', relation='o', dataset='open_interest', fact="'sides_of_' || o.raw_field", at='o.stamp') }}
