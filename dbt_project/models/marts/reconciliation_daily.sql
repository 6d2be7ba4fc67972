-- Of each day the last number of each source, and ours of the same time, venues, instruments.
with said as (
    select *
    from {{ ref('fct_references') }}
    where metric not in ('market_cap', 'spot_volume') and value is not null and not is_self_reported
        -- a look within the window that was fetched: for others there is nothing of ours
        and day >= (select window_start::date from {{ source('meta', 'scope') }})
    qualify row_number() over (partition by source, metric, covers, symbol, base_asset, day order by period_end desc, _loaded_at desc) = 1
),

periods as (select distinct metric, period_start, period_end from said),

ours as (
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, f.oi_usd as value, f.oi_base as coins
    from periods as p
    inner join {{ ref('fct_open_interest') }} as f on f.observed_at = date_trunc('hour', p.period_end)
    where p.metric = 'open_interest'
    union all
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, sum(f.volume_usd), sum(f.volume_base)
    from periods as p
    inner join {{ ref('fct_candles') }} as f
        on f.opened_at >= date_trunc('hour', p.period_start) and f.opened_at < date_trunc('hour', p.period_end)
    where p.metric = 'volume'
    group by all
    having count(*) >= 0.9 * date_diff('hour', p.period_start, p.period_end)
    union all
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, arg_max(f.rate_interval, f.observed_at), null
    from periods as p
    inner join {{ ref('fct_running_rates') }} as f on date_trunc('hour', f.observed_at) = date_trunc('hour', p.period_end)
    where p.metric = 'running_rate'
    group by all
    union all
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, arg_max(f.rate_interval, f.settled_at), null
    from periods as p
    inner join {{ ref('fct_funding_rates') }} as f on f.settled_at > p.period_start and f.settled_at <= p.period_end
    where p.metric = 'funding_rate'
    group by all
    union all
    select
        p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset,
        case p.metric when 'long_liquidations' then f.liq_long_usd else f.liq_short_usd end, null
    from periods as p
    inner join {{ ref('int_daily') }} as f on f.day::timestamp = p.period_start and p.period_end = p.period_start + interval 1 day
    where p.metric in ('long_liquidations', 'short_liquidations')
),

weighted as (  -- rates are averaged by the open interest in dollars of the day
    select o.*, case when o.metric in ('funding_rate', 'running_rate') then coalesce(d.oi_usd, 0) end as weight
    from ours as o
    left join {{ ref('daily_instruments') }} as d
        on o.instrument_id = d.instrument_id and d.day = (o.period_end - interval 1 microsecond)::date
    where o.value is not null
),

pairs as (
    -- an instrument as they name it: ours where the letters and digits are the same
    select
        s.source, s.metric, s.unit, s.day, s.period_start, s.period_end, s.covers, s.venue, s.base_asset,
        sum(s.value) filter (o.value is not null) as theirs,
        sum(o.value) as ours,
        coalesce(sum(s.value) filter (o.value is null), 0) as unmatched,
        count(o.value) as instruments,
        case when count(o.value) > 0 then 1 end as venues
    from said as s
    left join (
        select *, upper(regexp_replace(split_part(instrument_id, ':', 2), '[^A-Za-z0-9]', '', 'g')) as letters from weighted
    ) as o
        on s.metric = o.metric and s.period_end = o.period_end and s.period_start = o.period_start and s.venue = o.venue
        and upper(regexp_replace(s.symbol, '[^A-Za-z0-9]', '', 'g')) = o.letters
    where s.symbol is not null and s.venue is not null
    group by all
    -- of assets that nobody asked for there is nothing to say
    having count(o.value) > 0 or s.base_asset in (select distinct base_asset from {{ ref('daily_instruments') }})
    union all
    select
        s.source, s.metric, s.unit, s.day, s.period_start, s.period_end, s.covers, s.venue, s.base_asset,
        any_value(s.value) as theirs,
        case
            when any_value(s.unit) = 'base' then sum(o.coins)
            when count(o.weight) > 0 then sum(o.value * o.weight) / nullif(sum(o.weight), 0)
            else sum(o.value)
        end as ours,
        0 as unmatched,
        count(o.value) as instruments,
        count(distinct o.venue) as venues
    from said as s
    left join weighted as o
        on s.metric = o.metric and s.period_end = o.period_end and s.period_start = o.period_start
        and (s.covers is null or s.venue = o.venue) and (s.base_asset is null or s.base_asset = o.base_asset)
    where s.symbol is null and (s.covers is null or s.venue is not null)
        and (s.base_asset is null or s.base_asset in (select distinct base_asset from {{ ref('daily_instruments') }}))
    group by all
),

means as (  -- of rates the mean over the instruments that both have, not their sum
    select
        * exclude (theirs, ours),
        case when metric = 'running_rate' and venues is not null then theirs / nullif(instruments, 0) else theirs end as theirs,
        case when metric = 'running_rate' and venues is not null then ours / nullif(instruments, 0) else ours end as ours
    from pairs
),

compared as (
    select
        m.*,
        m.theirs / nullif(m.ours, 0) as ratio,
        t.tolerance,
        t.kind,
        case t.kind when 'relative' then abs(m.theirs / nullif(m.ours, 0) - 1) else abs(m.theirs - m.ours) end as off_by,
        -- what another reading of the same number would be off by
        lag(m.ours) over sides as other_side_before,
        lead(m.ours) over sides as other_side_after
    from means as m
    inner join {{ ref('reference_tolerances') }} as t using (metric)
    window sides as (
        partition by m.source, m.covers, m.base_asset, m.day, m.metric in ('long_liquidations', 'short_liquidations') order by m.metric
    )
)

select
    c.day,
    c.source,
    c.metric,
    c.covers,
    c.venue,
    c.base_asset,
    c.unit,
    c.period_start,
    c.period_end,
    c.ours,
    c.theirs,
    c.unmatched as reported_unmatched,
    c.instruments,
    c.venues,
    c.ratio,
    c.tolerance,
    c.off_by <= c.tolerance as agrees,
    case
        when c.off_by <= c.tolerance then null
        when c.ours is null then 'nothing of ours: not fetched, not given by the venue, or not complete then'
        when c.metric in ('funding_rate', 'running_rate') then case
            when abs(c.theirs - 100 * c.ours) <= 100 * c.tolerance and abs(c.theirs) > 10 * abs(c.ours) then 'percent taken for a fraction'
            when abs(c.theirs + c.ours) <= c.tolerance then 'the sign: who pays whom'
            when c.metric = 'funding_rate' and exists (
                select 1 from {{ ref('fct_running_rates') }} as r
                where r.base_asset = c.base_asset and (c.venue is null or r.venue = c.venue)
                    and r.observed_at::date = c.day and abs(r.rate_interval - c.theirs) <= c.tolerance / 10
            ) then 'a running rate charted as a settled one'
            else 'unexplained'
        end
        when c.metric in ('long_liquidations', 'short_liquidations')
            and abs(c.theirs / nullif(coalesce(c.other_side_before, c.other_side_after), 0) - 1) <= c.tolerance then 'a swapped side'
        when abs(c.ratio / 2 - 1) <= c.tolerance then 'one side against two: they count both'
        when abs(c.ratio * 2 - 1) <= c.tolerance then 'one side against two: ours counts both'
        when exists (select 1 from (values (1e2), (1e3), (1e4), (1e6), (1e-2), (1e-3), (1e-4), (1e-6)) as f(size) where abs(c.ratio / f.size - 1) <= c.tolerance)
            then 'a multiplier or a contract size'
        when c.covers is null and c.ratio > 1 then 'venues that are not covered here'
        when c.base_asset is null and c.ratio > 1 then 'assets that are not covered here'
        when c.ratio > 1 and c.venues is null then 'instruments that are not covered here'
        else 'unexplained'
    end as likely_reason
from compared as c
