{# Open interest through ccxt, from history or now. The amount's unit is a fact; where there is only the worth it is in quote. #}
{% macro ccxt_open_interest(dataset, raw_ms) -%}
select
    o.venue,
    o.symbol,
    {{ raw_ms }} as raw_ms,
    {{ from_ms('raw_ms') }} as stamp,
    {{ hour_of('raw_ms') }} as observed_at,
    coalesce(o.open_interest_amount, o.open_interest_value) as raw_value,
    case
        when o.open_interest_amount is null then 'openInterestValue'
        -- The name under which the sides that it counts are found: the venue's own fact before the one about all.
        else coalesce(
            (
                select max(substr(f.fact, length('sides_of_') + 1))
                from {{ ref('venue_facts') }} as f
                where f.source = 'ccxt' and f.fact = 'sides_of_openInterestAmount of ' || o.venue
            ),
            'openInterestAmount'
        )
    end as raw_field,
    case
        when o.open_interest_amount is null then 'quote'
        else {{ fact_of_venue('ccxt', 'open_interest', 'unit_of_openInterestAmount', 'o.venue') }}
    end as raw_unit,
    {{ 'true' if dataset.endswith('_now') else 'false' }} as is_snapshot,
    o._observed_at as loaded_at
from {{ source('ccxt', dataset) }} as o
where coalesce(o.open_interest_amount, o.open_interest_value) > 0
{%- endmacro %}
