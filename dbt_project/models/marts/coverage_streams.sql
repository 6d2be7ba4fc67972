-- Each hour of each instrument in which it was heard, then the hour over the instruments.
with parts as (
    select
        venue,
        source,
        stream,
        symbol,
        unnest(generate_series(date_trunc('hour', heard_from), heard_to - interval 1 microsecond, interval 1 hour)) as hour,
        heard_from,
        heard_to
    from {{ ref('int_stream_windows') }}
),

hours as (
    select
        venue,
        source,
        stream,
        symbol,
        hour,
        sum(date_diff('millisecond', greatest(heard_from, hour), least(heard_to, hour + interval 1 hour))) / 1000 as seconds,
        sum((heard_from > hour)::integer) as gaps
    from parts
    group by all
)

select
    hour,
    venue,
    source,
    stream,
    nullif(count(symbol), 0) as instruments,
    {{ sum_of('seconds') }} / count(*) as seconds_heard,
    min(seconds) as seconds_heard_least,
    max(gaps)::bigint as gaps
from hours
group by hour, venue, source, stream
