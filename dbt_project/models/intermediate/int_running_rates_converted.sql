{{ config(materialized='incremental', meta={'time': 'observed_at', 'look_back': 1, 'look_ahead': 2}) }}
{%- set window = replaced_window() %}
select
    r.venue,
    r.source,
    r.instrument_id,
    i.base_asset,
    r.observed_at,
    r.rate_interval,
    r.interval_hours,
    r.next_settlement_at,
    r.raw_rate,
    r.raw_unit,
    r.mark_price / i.multiplier as mark_price,
    r.index_price / i.multiplier as index_price,
    r.nulled,
    r.observed_at as known_at,
    i._versions
from (
    select *
    from {{ ref('int_running_rates') }}
    where {{ in_window('observed_at', window) }}
    -- A vendor's row can have the time of the venue's own row.
    qualify row_number() over (partition by instrument_id, observed_at order by precedence) = 1
) as r
{{ join_instrument('r', 'r.observed_at') }}
