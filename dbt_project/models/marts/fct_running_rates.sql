{{ config(materialized='view') }}
-- Where a row doesn't state its interval, it is the instrument's: joined here, since it changes more often than the units that
-- the table's rows are computed again for (`_versions`).
{%- set rate_8h = 'r.rate_interval / coalesce(r.interval_hours, i.funding_interval_hours, 8) * 8' %}
select
    r.venue,
    r.source,
    r.instrument_id,
    r.base_asset,
    r.observed_at,
    case when {{ is_possible(rate_8h, 'rate_8h') }} then r.rate_interval end as rate_interval,
    coalesce(r.interval_hours, i.funding_interval_hours) as interval_hours,
    case when {{ is_possible(rate_8h, 'rate_8h') }} then r.rate_interval / coalesce(r.interval_hours, i.funding_interval_hours) * 8 end as rate_8h,
    r.next_settlement_at,
    r.raw_rate,
    r.raw_unit,
    r.mark_price,
    r.index_price,
    nullif(concat_ws('; ', r.nulled, case when not {{ is_possible(rate_8h, 'rate_8h') }} then 'rate_8h ' || {{ rate_8h }} end), '') as nulled,
    r.known_at,
    r._versions
from {{ ref('int_running_rates_converted') }} as r
{{ join_instrument('r', 'r.observed_at') }}
