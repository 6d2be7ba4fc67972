{{ config(materialized='table', meta={'compare_by': 'day'}) }}
-- The calendar of the daily tables: each day of the window on which an instrument in scope was listed, with the part of the day in which
-- observations were due. Crypto only. Where a venue states no listing, the instrument counts from its first observation.
with seen as (
    select instrument_id, min(day) as first_day, max(day) as last_day
    from {{ ref('int_daily_instruments') }}
    where candles > 0 or funding_settlements > 0
    group by instrument_id
),

due as (
    select
        i.instrument_id,
        i.venue,
        i.source,
        i.base_asset,
        r.as_of,
        -- not in its source's newest list: due until the last list that has it, or the last day with a row
        case when i.unlisted_at is not null then greatest(i.last_listed_at, s.last_day + interval 1 day) end as left_list_at,
        greatest(r.window_start, coalesce(i.listed_at, s.first_day, r.window_start)) as due_from,
        least(r.window_end, r.as_of, coalesce(
            i.delisted_at,
            -- delisted at an unknown time, or not trading, or not known to (an archive): due until the last day with a row, and not at all
            -- where there is none
            case when coalesce(i.status, 'halted') in ('delisted', 'halted') then coalesce(s.last_day + interval 1 day, r.window_start) end,
            left_list_at,
            'infinity'
        )) as due_to
    from {{ ref('int_instrument_versions') }} as i
    cross join {{ ref('stg_meta__scope') }} as r
    {{ join_fact('q', 'i', 'instruments', "'fetched_quote'") }}
    left join seen as s on i.instrument_id = s.instrument_id
    where i.valid_to is null
        and i.underlying_class = 'crypto'
        and list_contains(string_split(q.value, ' '), i.quote_asset)
        and list_contains(r.venues, i.venue)
        and (list_contains(r.assets, i.base_asset) or list_contains(r.assets, 'all'))
),

days as (  -- of each version of an instrument all days: of these, its own are kept
    select
        d.*,
        i.valid_from,
        i.valid_to,
        i.funding_interval_hours,
        unnest(generate_series(date_trunc('day', d.due_from), d.due_to - interval 1 microsecond, interval 1 day)) as midnight
    from due as d
    inner join {{ ref('int_instrument_versions') }} as i using (instrument_id)
    where d.due_from < d.due_to
)

select
    midnight::date as day,
    venue,
    source,
    instrument_id,
    base_asset,
    funding_interval_hours,
    greatest(due_from, midnight) as due_from,
    least(due_to, ends) as due_to,
    -- the run's clock or the instrument's end on the venue's list is in the day or at its end: the settlement after it isn't due
    least(due_to, ends) >= least(as_of, coalesce(left_list_at, 'infinity')) as is_last
from (select *, midnight + interval 1 day as ends from days)
where ends >= valid_from and ends < coalesce(valid_to, 'infinity')
