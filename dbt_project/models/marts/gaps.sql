{#- Days that are missing completely are spans; split into hours are only days that are missing in part, or may be for several reasons. -#}
{%- set paid_hours -%}
    generate_series(date_trunc('hour', paid_from + interval 1 hour - interval 1 microsecond), paid_to - interval 1 microsecond, interval 1 hour)
{%- endset -%}
{#- Bars open, and points lie, at the start of their hour. -#}
{%- set before_its_end = "case when dataset in ('candles', 'open_interest') then interval 1 hour else interval 0 hour end" -%}
with missing as (select *, due_to - {{ before_its_end }} as last_at from {{ ref('int_coverage') }} where seen < expected),

sources as (select * from ({{ sources_table() }})),

unusable as (  -- what the venue sent, and what can't be
    select instrument_id, 'candles' as dataset, opened_at as starts, 'unusable' as reason
    from {{ ref('fct_candles') }}
    where close is null and nulled is not null
    union all
    select instrument_id, 'open_interest', observed_at, case when nulled is null then 'unpriced' else 'unusable' end
    from {{ ref('fct_open_interest') }}
    where oi_base is null
    union all
    select instrument_id, 'funding_rates', unnest({{ paid_hours }}), 'unusable'
    from {{ ref('fct_funding_rates') }}
    where rate_interval is null and nulled is not null
),

silent as (  -- windows of which the venue was asked again for what was missing, and had nothing more
    select w.source, s.dataset, w.venue || ':' || w.symbol as instrument_id, w.window_start, w.window_end
    from {{ ref('stg_meta__silent_windows') }} as w
    inner join sources as s on w.source = s.source and w.dataset = s.endpoint
),

hours as (
    select *, unnest(generate_series(due_from, due_to - interval 1 hour, interval 1 hour)) as starts
    from missing
    where seen > 0 or (instrument_id, dataset) in (select (instrument_id, dataset) from unusable union all select (instrument_id, dataset) from silent)
),

seen as (
    select f.instrument_id, 'candles' as dataset, f.opened_at as starts
    from {{ ref('fct_candles') }} as f
    semi join (select * from hours where dataset = 'candles') as h on f.instrument_id = h.instrument_id and f.opened_at = h.starts
    where f.close is not null
    union all
    select f.instrument_id, 'open_interest', f.observed_at
    from {{ ref('fct_open_interest') }} as f
    semi join (select * from hours where dataset = 'open_interest') as h on f.instrument_id = h.instrument_id and f.observed_at = h.starts
    where f.oi_base is not null
    union all
    -- A settlement pays for two days at most: it ends on the day of an hour that it pays for, or on one of the two after it.
    select f.instrument_id, 'funding_rates', unnest({{ paid_hours }})
    from {{ ref('fct_funding_rates') }} as f
    semi join (select distinct instrument_id, unnest([day, day + 1, day + 2]) as day from hours where dataset = 'funding_rates') as h
        on f.instrument_id = h.instrument_id and (f.paid_to - interval 1 microsecond)::date = h.day
    where f.rate_interval is not null
),

sources_to_ask as (  -- the source to ask: the one that lists the instrument, or one in scope that lists no instruments, or an archive of it
    -- in scope, where the source itself forgets
    select i.instrument_id, t.dataset, t.source, t.history_days
    from {{ ref('dim_instruments') }} as i
    cross join {{ ref('stg_meta__scope') }} as r
    inner join sources as t
        on i.venue = coalesce(t.venue, i.venue) and (i.source = t.source or (
            coalesce(t.archive_of = i.source, t.source not in (select source from sources where dataset = 'instruments'))
            and list_contains(r.sources, t.source || ':' || i.venue)
        ))
    where i.valid_to is null
    qualify row_number() over (partition by i.instrument_id, t.dataset order by t.history_days is not null, t.precedence, t.source) = 1
),

days as materialized (  -- missing completely
    select m.*, m.last_at + to_hours((g.history_days * 24)::bigint) <= r.as_of as is_forgotten
    from missing as m
    anti join hours as h on m.instrument_id = h.instrument_id and m.dataset = h.dataset and m.day = h.day
    left join sources_to_ask as g on m.instrument_id = g.instrument_id and m.dataset = g.dataset
    cross join {{ ref('stg_meta__scope') }} as r
),

interrupted as (  -- series of which not all days between the first and the last are missing
    select instrument_id, dataset from days group by all having count(*) <= max(day) - min(day)
),

spans as (  -- days that follow each other are one, before anything else is made of them: years of a dataset without a source are many
    select venue, dataset, instrument_id, min(due_from) as gap_start, max(due_to) as gap_end, sum(expected)::double as observations
    from (
        select *, 0 as island
        from days
        anti join interrupted using (instrument_id, dataset)
        union all
        select *, date_diff('day', date '1970-01-01', day) - row_number() over (partition by instrument_id, dataset order by day)
        from days
        semi join interrupted using (instrument_id, dataset)
    )
    group by venue, dataset, instrument_id, island, is_forgotten
    union all
    select venue, dataset, instrument_id, starts, starts + interval 1 hour, 1 / interval_hours
    from hours
    anti join seen using (instrument_id, dataset, starts)
),

placed as (  -- the part that can't be fetched is a gap of its own, by the reason
    select
        s.*,
        g.source,
        g.history_days,
        case
            when g.source is null then 'no_source'
            when r.origin = 'recorded' then 'recording'
            when s.instrument_id in (select instrument_id from {{ ref('int_instrument_versions') }} where valid_to is null and unlisted_at is not null) then 'not_listed'
            when s.last_at + to_hours((g.history_days * 24)::bigint) <= r.as_of then 'forgotten'
            when u.reason is not null then u.reason
            when exists (
                from silent as w
                where s.instrument_id = w.instrument_id and s.dataset = w.dataset and g.source = w.source
                    and s.gap_start >= w.window_start and s.gap_end <= w.window_end
            ) then 'silent'
        end as reason
    from (select *, gap_end - {{ before_its_end }} as last_at from spans) as s
    left join sources_to_ask as g on s.instrument_id = g.instrument_id and s.dataset = g.dataset
    left join (select distinct * from unusable) as u
        on s.instrument_id = u.instrument_id and s.dataset = u.dataset and s.gap_start = u.starts
    cross join {{ ref('stg_meta__scope') }} as r
)

select
    venue,
    source,
    dataset,
    instrument_id,
    min(gap_start) as gap_start,
    max(gap_end) as gap_end,
    ceil({{ sum_of('observations') }} - 1e-6)::bigint as missing,
    reason is null as fetchable,
    reason,
    case when coalesce(reason, 'forgotten') = 'forgotten' then max(last_at) + to_hours((history_days * 24)::bigint) end as fetch_until
from (
    select *, sum(starts) over series as island
    from (
        select *, (gap_start is distinct from lag(gap_end) over series)::integer as starts
        from placed
        window series as (partition by instrument_id, dataset, reason order by gap_start)
    )
    window series as (partition by instrument_id, dataset, reason order by gap_start)
)
group by venue, source, dataset, instrument_id, reason, history_days, island
