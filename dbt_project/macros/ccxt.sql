{# Open interest through ccxt, from history or now: the amount, or the worth where that is all; the unit of each is a fact. #}
{% macro ccxt_open_interest(dataset, raw_ms) -%}
select
    o.* exclude (field),
    -- The name under which the sides that it counts are found: the venue's own fact before the one about all.
    coalesce(
        (
            select max(substr(f.fact, length('sides_of_') + 1))
            from {{ ref('venue_facts') }} as f
            where f.source = 'ccxt' and f.dataset = 'open_interest' and f.fact = 'sides_of_' || o.field || ' of ' || o.venue
        ),
        o.field
    ) as raw_field,
    case o.field
        when 'openInterestValue' then {{ fact_of_venue('ccxt', 'open_interest', 'unit_of_openInterestValue', 'o.venue') }}
        else {{ fact_of_venue('ccxt', 'open_interest', 'unit_of_openInterestAmount', 'o.venue') }}
    end as raw_unit
from (
    select
        venue,
        symbol,
        {{ raw_ms }} as raw_ms,
        {{ from_ms('raw_ms') }} as stamp,
        {{ hour_of('raw_ms') }} as observed_at,
        coalesce(open_interest_amount, open_interest_value) as raw_value,
        case when open_interest_amount is null then 'openInterestValue' else 'openInterestAmount' end as field,
        {{ 'true' if dataset.endswith('_now') else 'false' }} as is_snapshot,
        _observed_at as loaded_at
    from {{ source('ccxt', dataset) }}
    where coalesce(open_interest_amount, open_interest_value) > 0
) as o
{%- endmacro %}
