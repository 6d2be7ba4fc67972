with lives as (
    select
        instrument_id,
        venue,
        valid_from,
        coalesce(valid_to, 'infinity'::timestamp) as valid_to,
        begins_at,
        ends_at
    from {{ ref('int_instrument_versions') }}
    where begins_at is not null or ends_at is not null
),

outside as (
    {%- for name, dataset in var('datasets').items() if dataset.expected_per_day %}
    select
        i.venue,
        r.source,
        r.instrument_id,
        '{{ name }}' as dataset,
        case when r.{{ dataset.time }} < i.begins_at then 'before the listing' else 'after the delisting' end as reason,
        r.{{ dataset.time }} as happened_at
    from {{ ref('int_' ~ name) }} as r
    inner join lives as i
        on r.instrument_id = i.instrument_id and r.{{ dataset.time }} >= i.valid_from and r.{{ dataset.time }} < i.valid_to
    where not ({{ in_life('r.' ~ dataset.time, is_bar=(name == 'candles')) }})
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    venue,
    source,
    instrument_id,
    dataset,
    reason,
    min(happened_at) as first_at,
    max(happened_at) as last_at,
    count(*) as rows_left_out
from outside
group by all
