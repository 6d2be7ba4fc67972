{{ config(materialized='table', meta={'compare_by': 'day'}) }}
-- The days of each instrument that `int_series_faults` sets apart, by what is set apart.
with apart as (
    select
        instrument_id,
        unnest(generate_series(first_day::timestamp, last_day::timestamp, interval 1 day))::date as day,
        case kind when 'identity' then 'identity' else dataset end as part
    from {{ ref('int_series_faults') }}
)

select
    instrument_id,
    day,
    bool_or(part in ('identity', 'candles')) as candles,
    bool_or(part in ('identity', 'candles', 'volume')) as volume,
    bool_or(part in ('identity', 'candles', 'mark')) as mark,
    bool_or(part in ('identity', 'funding_rates')) as funding,
    bool_or(part in ('identity', 'open_interest')) as open_interest,
    bool_or(part in ('identity', 'liquidations')) as liquidations
from apart
group by all
