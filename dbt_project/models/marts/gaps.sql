{#- Days that are missing completely are spans; only days that are missing in part are split into hours. -#}
with missing as (select * from {{ ref('int_coverage') }} where seen < expected),

hours as (
    select *, unnest(generate_series(due_from, due_to - interval 1 hour, interval 1 hour)) as starts
    from missing
    where seen > 0
),

paid as (  -- the hours that a settlement pays for
    select distinct f.instrument_id, unnest(generate_series(
        date_trunc('hour', f.paid_from + interval 1 hour - interval 1 microsecond), f.paid_to - interval 1 microsecond, interval 1 hour
    )) as starts
    from {{ ref('fct_funding_rates') }} as f
    where f.rate_interval is not null and f.instrument_id in (select instrument_id from hours where dataset = 'funding_rates')
),

seen as (
    select instrument_id, 'candles' as dataset, opened_at as starts
    from {{ ref('fct_candles') }}
    where close is not null and instrument_id in (select instrument_id from hours where dataset = 'candles')
    union all
    select instrument_id, 'open_interest', observed_at
    from {{ ref('fct_open_interest') }}
    where oi_base is not null and instrument_id in (select instrument_id from hours where dataset = 'open_interest')
    union all
    select instrument_id, 'funding_rates', starts from paid
),

spans as (
    select venue, dataset, instrument_id, due_from as gap_start, due_to as gap_end, expected::double as observations
    from missing
    where seen = 0
    union all
    select venue, dataset, instrument_id, starts, starts + interval 1 hour, 1 / interval_hours
    from hours
    anti join seen using (instrument_id, dataset, starts)
),

sources as (select * from ({{ sources_table() }})),

sources_to_ask as (  -- the source to ask: the one that lists the instrument, or one that lists no instruments (an archive)
    select i.instrument_id, t.dataset, t.source, t.history_days
    from {{ ref('dim_instruments') }} as i
    inner join sources as t
        on i.venue = coalesce(t.venue, i.venue) and (i.source = t.source or t.source not in (select source from sources where dataset = 'instruments'))
    where i.valid_to is null
    qualify row_number() over (partition by i.instrument_id, t.dataset order by t.precedence, t.source) = 1
),

placed as (  -- the part that the venue has forgotten is a gap of its own
    select s.*, g.source, g.history_days,
        g.source is not null and r.origin is distinct from 'recorded' and coalesce(s.gap_end + to_hours((g.history_days * 24)::bigint) > r.as_of, true) as fetchable
    from spans as s
    left join sources_to_ask as g on s.instrument_id = g.instrument_id and s.dataset = g.dataset
    cross join {{ ref('stg_meta__scope') }} as r
)

select
    venue,
    source,
    dataset,
    instrument_id,
    min(gap_start) as gap_start,
    max(gap_end) as gap_end,
    ceil(sum(observations order by gap_start) - 1e-6)::bigint as missing,
    fetchable,
    max(gap_end) + to_hours((history_days * 24)::bigint) as fetch_until
from (
    select *, sum(starts) over series as island
    from (
        select *, (gap_start is distinct from lag(gap_end) over series)::integer as starts
        from placed
        window series as (partition by instrument_id, dataset, fetchable order by gap_start)
    )
    window series as (partition by instrument_id, dataset, fetchable order by gap_start)
)
group by venue, source, dataset, instrument_id, fetchable, history_days, island
