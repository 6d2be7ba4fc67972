{{ config(materialized='table', meta={'compare_by': 'hour::date'}) }}
-- Rebuilt whole, like coverage: a row depends on what was heard and on the scope, not on changed rows alone.
with covered as (
    select
        hour,
        venue,
        base_asset as asset,
        instrument_id,
        -- whole numbers: their sum doesn't depend on the order
        {%- set milliseconds = "sum(date_diff('millisecond', greatest(begins, hour), least(ends, hour + interval 1 hour)))" %}
        {{ milliseconds }} filter (facts_of is null) as milliseconds,
        {{ milliseconds }} filter (facts_of = 'stream') as of_stream
    from (
        select *, unnest(generate_series(date_trunc('hour', begins), ends - interval 1 microsecond, interval 1 hour)) as hour
        from (
            select
                w.facts_of,
                d.venue,
                d.base_asset,
                d.instrument_id,
                greatest(d.due_from, w.window_start) as begins,
                least(d.due_to, w.window_end) as ends
            from {{ ref('int_liquidations_due') }} as d
            inner join {{ ref('int_liquidation_windows') }} as w
                on d.source = w.source and d.instrument_id = w.instrument_id and d.due_from < w.window_end and d.due_to > w.window_start
        )
    )
    group by all
),

events as (
    select
        date_trunc('hour', e.liquidated_at) as hour,
        d.venue,
        d.base_asset as asset,
        e.liquidated_side,
        count(*) as events,
        -- An event of unknown size makes the hour's figures unknown, not smaller.
        {%- for size in ('size_base', 'size_usd') %}
        case when count(*) = count(e.{{ size }}) then {{ sum_of('e.' ~ size) }} end as {{ size }},
        {%- endfor %}
        case when count(*) = count(e.size_usd) then max(e.size_usd) end as largest_usd
    from {{ ref('int_liquidations_converted') }} as e
    inner join {{ ref('int_liquidations_due') }} as d on e.instrument_id = d.instrument_id and e.liquidated_at::date = d.day
    group by all
),

listed as (
    select distinct hour::date as day, venue, asset
    from (
        select hour, venue, asset from covered
        union all
        select hour, venue, asset from events
    )
),

hours as (  -- over the venue's instruments of the asset; those that were not heard count with zero seconds
    select
        d.hour,
        d.venue,
        d.base_asset as asset,
        -- The class of the stream holds where all that was covered was heard.
        {%- set class = 'case when c.milliseconds = c.of_stream then d.completeness_class_of_stream else d.completeness_class end' %}
        case
            when bool_and(coalesce({{ class }} = 'complete', false)) then 'complete'
            when bool_or({{ class }} = 'sampled') then 'sampled'
        end as completeness_class,
        sum(c.milliseconds) / count(*) / 1000 as seconds_covered
    from (
        select i.*, unnest(generate_series(date_trunc('hour', i.due_from), i.due_to - interval 1 microsecond, interval 1 hour)) as hour
        from {{ ref('int_liquidations_due') }} as i
        semi join listed as l on i.day = l.day and i.venue = l.venue and i.base_asset = l.asset
    ) as d
    left join covered as c on d.instrument_id = c.instrument_id and d.hour = c.hour
    group by all
),

rows_due as (
    select h.hour, h.venue, h.asset, side.liquidated_side
    from hours as h
    cross join (values ('long'), ('short')) as side(liquidated_side)
    where h.seconds_covered > 0
    union
    select hour, venue, asset, liquidated_side from events
)

select
    r.hour,
    r.venue,
    r.asset,
    r.liquidated_side,
    coalesce(e.events, 0) as events,
    case when e.events is null then 0 else e.size_base end as size_base,
    case when e.events is null then 0 else e.size_usd end as size_usd,
    e.largest_usd,
    h.completeness_class,
    h.seconds_covered
from rows_due as r
left join hours as h on r.hour = h.hour and r.venue = h.venue and r.asset = h.asset
left join events as e
    on r.hour = e.hour and r.venue = e.venue and r.asset = e.asset and r.liquidated_side is not distinct from e.liquidated_side
