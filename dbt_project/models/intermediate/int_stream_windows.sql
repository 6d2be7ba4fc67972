-- The windows in which each instrument of a stream was heard, over all connections and collectors.
with heard as (
    select venue, source, stream, unnest(string_split(coalesce(symbols, ''), ' ')) as symbol, heard_from, heard_to
    from {{ ref('int_stream_sessions') }}
    where heard_to > heard_from
)

select * replace (nullif(symbol, '') as symbol)
from ({{ merged_windows(relation='heard', keys='venue, source, stream, symbol', begins='heard_from', ends='heard_to') }})
