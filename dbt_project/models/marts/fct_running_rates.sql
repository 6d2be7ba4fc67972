select
    r.venue,
    r.source,
    r.instrument_id,
    i.base_asset,
    r.observed_at,
    {%- set rate_8h = 'r.rate_interval / coalesce(r.interval_hours, i.funding_interval_hours, 8) * 8' %}
    case when {{ is_possible(rate_8h, 'rate_8h') }} then r.rate_interval end as rate_interval,
    coalesce(r.interval_hours, i.funding_interval_hours) as interval_hours,
    case when {{ is_possible(rate_8h, 'rate_8h') }} then r.rate_interval / coalesce(r.interval_hours, i.funding_interval_hours) * 8 end as rate_8h,
    r.next_settlement_at,
    r.raw_rate,
    r.raw_unit,
    r.mark_price / i.multiplier as mark_price,
    r.index_price / i.multiplier as index_price,
    nullif(concat_ws('; ', r.nulled, case when not {{ is_possible(rate_8h, 'rate_8h') }} then 'rate_8h ' || {{ rate_8h }} end), '') as nulled,
    r.observed_at as known_at
from {{ ref('int_running_rates') }} as r
{{ join_instrument('r', 'r.observed_at') }}
-- A vendor's row can have the time of the venue's own row.
qualify row_number() over (partition by r.instrument_id, r.observed_at order by r.precedence) = 1
