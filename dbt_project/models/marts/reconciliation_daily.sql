-- The last reported number of each source and day, and the value from the venues' own rows over the same time, venues and instruments.
with reported as (
    select *
    from {{ ref('fct_references') }}
    where metric not in ('market_cap', 'spot_volume') and value is not null and not is_self_reported
        -- before the loaded window there is no value to compare with
        and day >= (select window_start::date from {{ ref('stg_meta__scope') }})
    qualify row_number() over (partition by source, metric, covers, symbol, base_asset, day order by period_end desc, _loaded_at desc, period_start) = 1
),

periods as (select distinct metric, period_start, period_end from reported),

own_values as (
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, f.oi_usd as value, f.oi_base as coins,
        coalesce(f.is_snapshot, false) as is_snapshot
    from periods as p
    inner join {{ ref('fct_open_interest') }} as f on f.observed_at = date_trunc('hour', p.period_end)
    where p.metric = 'open_interest'
    union all
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, {{ sum_of('f.volume_usd') }}, {{ sum_of('f.volume_base') }}, false
    from periods as p
    inner join {{ ref('fct_candles') }} as f
        on f.opened_at >= date_trunc('hour', p.period_start) and f.opened_at < date_trunc('hour', p.period_end)
    where p.metric = 'volume'
    group by all
    having count(*) >= 0.9 * date_diff('hour', p.period_start, p.period_end)
    union all
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, arg_max(f.rate_interval, f.observed_at), null, false
    from periods as p
    inner join {{ ref('fct_running_rates') }} as f on date_trunc('hour', f.observed_at) = date_trunc('hour', p.period_end)
    where p.metric = 'running_rate'
    group by all
    union all
    select p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset, arg_max(f.rate_interval, f.settled_at), null, false
    from periods as p
    inner join {{ ref('fct_funding_rates') }} as f on f.settled_at > p.period_start and f.settled_at <= p.period_end
    where p.metric = 'funding_rate'
    group by all
    union all
    select
        p.metric, p.period_start, p.period_end, f.instrument_id, f.venue, f.base_asset,
        case p.metric when 'long_liquidations' then f.liq_long_usd else f.liq_short_usd end, null, false
    from periods as p
    inner join {{ ref('int_daily') }} as f on f.day::timestamp = p.period_start and p.period_end = p.period_start + interval 1 day
    where p.metric in ('long_liquidations', 'short_liquidations')
),

weighted as (  -- rates are averaged with the day's open interest in US dollars as weights
    select o.*, case when o.metric in ('funding_rate', 'running_rate') then coalesce(d.oi_usd, 0) end as weight
    from own_values as o
    left join {{ ref('daily_instruments') }} as d
        on o.instrument_id = d.instrument_id and d.day = (o.period_end - interval 1 microsecond)::date
    where o.value is not null
),

pairs as (
    -- by instrument: the source's name and the venue's symbol match if their letters and digits are equal
    select
        s.source, s.metric, s.unit, s.day, s.period_start, s.period_end, s.covers, s.venue, s.base_asset, null as our_class,
        sum(s.value order by s.symbol, o.instrument_id) filter (o.value is not null) as reported_value,
        sum(o.value order by o.instrument_id, s.symbol) as our_value,
        coalesce(sum(s.value order by s.symbol) filter (o.value is null), 0) as unmatched,
        count(o.value) as instruments,
        case when count(o.value) > 0 then 1 end as venues
    from reported as s
    left join (
        select *, upper(regexp_replace(split_part(instrument_id, ':', 2), '[^A-Za-z0-9]', '', 'g')) as normalised_symbol from weighted
    ) as o
        on s.metric = o.metric and s.period_end = o.period_end and s.period_start = o.period_start and s.venue = o.venue
        and upper(regexp_replace(s.symbol, '[^A-Za-z0-9]', '', 'g')) = o.normalised_symbol
    where s.symbol is not null and s.venue is not null
    group by all
    -- only assets with loaded rows
    having count(o.value) > 0 or s.base_asset in (select distinct base_asset from {{ ref('daily_instruments') }})
    union all
    select
        s.source, s.metric, s.unit, s.day, s.period_start, s.period_end, s.covers, s.venue, s.base_asset, null,
        any_value(s.value) as reported_value,
        case
            when any_value(s.unit) = 'base' then sum(o.coins order by o.instrument_id)
            when count(o.weight) > 0 then sum(o.value * o.weight order by o.instrument_id) / nullif(sum(o.weight order by o.instrument_id), 0)
            else sum(o.value order by o.instrument_id)
        end as our_value,
        0 as unmatched,
        count(o.value) as instruments,
        count(distinct o.venue) as venues
    from reported as s
    left join weighted as o
        on s.metric = o.metric and s.period_end = o.period_end and s.period_start = o.period_start
        -- a sum over all venues would jump at the hours at which venues without history have a snapshot
        and (s.covers is null and not o.is_snapshot or s.venue = o.venue) and (s.base_asset is null or s.base_asset = o.base_asset)
    where s.symbol is null and (s.covers is null and s.metric not in ('long_liquidations', 'short_liquidations') or s.venue is not null)
        and (s.base_asset is null or s.base_asset in (select distinct base_asset from {{ ref('daily_instruments') }}))
    group by all
    -- liquidations of all venues: complete lists and lower bounds, a row each
    {%- for kind in ('complete', 'lower_bound') %}
    union all
    select
        s.source, s.metric, s.unit, s.day, s.period_start, s.period_end, s.covers, s.venue, s.base_asset, '{{ kind }}',
        s.value,
        case s.metric when 'long_liquidations' then o.{{ kind }}_long_usd else o.{{ kind }}_short_usd end,
        0,
        null,
        coalesce(o.{{ kind }}_venues, 0)
    from reported as s
    left join {{ ref('daily_liquidations') }} as o
        on coalesce(s.base_asset, 'MARKET') = o.asset and s.period_start = o.day::timestamp and s.period_end = o.day + interval 1 day
    where s.symbol is null and s.covers is null and s.metric in ('long_liquidations', 'short_liquidations')
        and (s.base_asset is null or s.base_asset in (select distinct base_asset from {{ ref('daily_instruments') }}))
    {%- endfor %}
),

means as (  -- for rates the mean over the instruments that both have, instead of the sum
    select
        * exclude (reported_value, our_value),
        case when metric = 'running_rate' and venues is not null then reported_value / nullif(instruments, 0) else reported_value end as reported_value,
        case when metric = 'running_rate' and venues is not null then our_value / nullif(instruments, 0) else our_value end as our_value
    from pairs
),

compared as (
    select
        m.*,
        m.reported_value / nullif(m.our_value, 0) as ratio,
        t.tolerance,
        t.kind,
        case t.kind when 'relative' then abs(m.reported_value / nullif(m.our_value, 0) - 1) else abs(m.reported_value - m.our_value) end as off_by,
        -- the values of the other side of liquidations, to detect swapped sides
        coalesce(lag(m.our_value) over sides, lead(m.our_value) over sides) as our_other_side,
        coalesce(lag(m.reported_value) over sides, lead(m.reported_value) over sides) as reported_other_side
    from means as m
    inner join {{ ref('reference_tolerances') }} as t using (metric)
    window sides as (
        partition by m.source, m.covers, m.base_asset, m.our_class, m.day, m.metric in ('long_liquidations', 'short_liquidations') order by m.metric
    )
)

select
    c.day,
    c.source,
    c.metric,
    c.covers,
    c.venue,
    c.base_asset,
    c.our_class,
    c.unit,
    c.period_start,
    c.period_end,
    c.our_value,
    c.reported_value,
    c.unmatched as reported_unmatched,
    c.instruments,
    c.venues,
    c.ratio,
    c.tolerance,
    c.off_by <= c.tolerance as agrees,
    case
        when c.off_by <= c.tolerance then null
        when c.our_value is null then 'nothing of ours: not fetched, not given by the venue, or not complete then'
        when c.metric in ('funding_rate', 'running_rate') then case
            when abs(c.reported_value - 100 * c.our_value) <= 100 * c.tolerance and abs(c.reported_value) > 10 * abs(c.our_value) then 'percent taken for a fraction'
            when abs(c.reported_value + c.our_value) <= c.tolerance then 'the sign: who pays whom'
            when c.metric = 'funding_rate' and exists (
                select 1 from {{ ref('fct_running_rates') }} as r
                where r.base_asset = c.base_asset and (c.venue is null or r.venue = c.venue)
                    and r.observed_at::date = c.day and abs(r.rate_interval - c.reported_value) <= c.tolerance / 10
            ) then 'a running rate charted as a settled one'
            else 'unexplained'
        end
        when c.metric in ('long_liquidations', 'short_liquidations')
            and abs(c.reported_value / nullif(c.our_other_side, 0) - 1) <= c.tolerance
            and abs(c.reported_other_side / nullif(c.our_value, 0) - 1) <= c.tolerance then 'a swapped side'
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
