-- Windows whose liquidations a source gave completely, or that the collector heard; adjacent and overlapping windows merged. Of a stream
-- whose facts differ from those of requests, what was heard stands again by itself (`facts_of`). A file about all of a venue's instruments
-- (no symbol) gives a window of each of them, whichever source lists them.
with instruments as (select distinct venue, source, instrument_id from {{ ref('int_calendar') }}),

listened as (  -- an instrument each
    select w.source, i.instrument_id, w.heard_from as window_start, w.heard_to as window_end
    from {{ ref('int_stream_windows') }} as w
    inner join instruments as i on w.source = i.source and coalesce(w.venue || ':' || w.symbol = i.instrument_id, true)
    where w.stream = 'liquidations'
),

loaded as (
    select s.venue, w.*
    from {{ ref('stg_meta__loaded_windows') }} as w
    inner join ({{ sources_table() }}) as s on w.source = s.source and w.dataset = s.dataset
    where w.dataset = 'liquidations'
),

given as (
    select null::varchar as facts_of, source, venue || ':' || symbol as instrument_id, window_start, window_end
    from loaded
    where symbol <> ''
    union all
    select null as facts_of, f.source, i.instrument_id, f.window_start, f.window_end
    from ({{ merged_windows(relation="(select * from loaded where symbol = '')", keys='venue, source') }}) as f
    inner join instruments as i on f.venue = i.venue
    union all
    select null as facts_of, * from listened
    union all
    select 'stream' as facts_of, l.*
    from listened as l
    semi join {{ ref('venue_facts') }} as f on l.source = f.source and f.dataset = 'liquidations' and f.fact = 'completeness_class of stream'
)

{{ merged_windows(relation='given', keys='facts_of, source, instrument_id') }}
