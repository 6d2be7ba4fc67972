-- The windows in which each instrument of a stream was heard, over all connections and collectors, adjacent and overlapping ones merged.
with heard as (
    select venue, source, stream, unnest(string_split(coalesce(symbols, ''), ' ')) as symbol, heard_from, heard_to
    from {{ ref('int_stream_sessions') }}
    where heard_to > heard_from
),

begun as (
    select
        *,
        (heard_from > coalesce(max(heard_to) over (
            partition by source, stream, symbol order by heard_from, heard_to rows between unbounded preceding and 1 preceding
        ), '-infinity'))::integer as starts
    from heard
),

islands as (select *, sum(starts) over (partition by source, stream, symbol order by heard_from, heard_to) as island from begun)

select venue, source, stream, nullif(symbol, '') as symbol, min(heard_from) as heard_from, max(heard_to) as heard_to
from islands
group by venue, source, stream, symbol, island
