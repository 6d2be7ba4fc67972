{{ config(materialized='table') }}
-- The calendar of the daily tables: each day of the window on which an instrument in scope was listed, with the part of the day in which
-- observations were due. Crypto only. Where a venue states no listing, the instrument counts from its first observation.
with seen as (
    select instrument_id, min(day) as first_day, max(day) as last_day
    from {{ ref('int_daily_instruments') }}
    where candles > 0 or funding_settlements > 0
    group by instrument_id
),

unlisted as (  -- instruments without a row in the newest list: due until the last list that has them, or the last day with a row
    select l.instrument_id, greatest(l.last_listed, s.last_day + interval 1 day) as unlisted_at
    from (
        select instrument_id, max(observed_at) as last_listed, max(max(observed_at)) over (partition by source, venue) as last_list
        from {{ ref('int_instruments') }}
        group by source, venue, instrument_id
    ) as l
    left join seen as s on l.instrument_id = s.instrument_id
    where l.last_listed < l.last_list - interval 1 hour
),

due as (
    select
        i.instrument_id,
        i.venue,
        i.source,
        i.base_asset,
        i.funding_interval_hours,
        greatest(r.window_start, coalesce(i.listed_at, s.first_day, r.window_start)) as due_from,
        least(r.window_end, r.as_of, coalesce(
            i.delisted_at, case i.status when 'delisted' then s.last_day + interval 1 day end, u.unlisted_at, 'infinity'
        )) as due_to,
        u.unlisted_at
    from {{ ref('int_instrument_versions') }} as i
    cross join {{ ref('stg_meta__scope') }} as r
    {{ join_fact('q', 'i', 'instruments', "'fetched_quote'") }}
    left join unlisted as u on i.instrument_id = u.instrument_id
    left join seen as s on i.instrument_id = s.instrument_id
    where i.valid_to is null
        and i.underlying_class = 'crypto'
        and list_contains(string_split(q.value, ' '), i.quote_asset)
        and list_contains(r.venues, i.venue)
        and (list_contains(r.assets, i.base_asset) or list_contains(r.assets, 'all'))
),

days as (
    select *, unnest(generate_series(date_trunc('day', due_from), due_to - interval 1 microsecond, interval 1 day)) as midnight
    from due
    where due_from < due_to
)

select
    midnight::date as day,
    venue,
    source,
    instrument_id,
    base_asset,
    funding_interval_hours,
    greatest(due_from, midnight) as due_from,
    least(due_to, midnight + interval 1 day) as due_to,
    unlisted_at
from days
