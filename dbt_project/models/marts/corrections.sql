with ordered as (
    select
        *,
        row_number() over versions as nth,
        (row_number() over versions > 1 and value is distinct from lag(value) over versions)::integer as is_change
    from {{ ref('stg_meta__versions') }}
    window versions as (partition by source, dataset, row_key, field order by run, observed_at, place, page)
),

numbered as (  -- a version that a later request shows again is the same
    select *, sum(is_change) over (partition by source, dataset, row_key, field order by nth) as changes
    from ordered
),

first_versions as (
    select * from numbered
    qualify row_number() over (partition by source, dataset, row_key, field order by changes, nth desc) = 1
),

last_versions as (
    select * from numbered
    qualify row_number() over (partition by source, dataset, row_key, field order by changes desc, nth) = 1
)

select
    s.venue,
    l.source,
    l.dataset,
    i.instrument_id,
    l.symbol,
    l.happened_at,
    l.row_key,
    l.field,
    f.value as first_value,
    l.value as last_value,
    l.changes::bigint as corrections,
    f.observed_at as first_value_seen_at,
    l.observed_at as last_value_seen_at
from last_versions as l
inner join first_versions as f on l.source = f.source and l.dataset = f.dataset and l.row_key = f.row_key and l.field = f.field
left join (select distinct source, venue from ({{ sources_table() }})) as s on l.source = s.source
left join (select distinct instrument_id from {{ ref('dim_instruments') }}) as i on i.instrument_id = s.venue || ':' || l.symbol
where l.changes > 0
