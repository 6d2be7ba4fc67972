{#
  Open interest through ccxt, history or current: the amount, or the value where only that is given. The unit of each is a venue fact.
  A value of unknown unit is left out: it may be quote currency or coins.
#}
{% macro ccxt_open_interest(dataset) -%}
select
    o.* exclude (field),
    -- The field's name in `venue_facts`: the fact about this venue where there is one, else the fact about all venues.
    coalesce(
        (
            select max(substr(f.fact, length('sides_of_') + 1))
            from {{ ref('venue_facts') }} as f
            where f.source = 'ccxt' and f.dataset = 'open_interest' and f.fact = 'sides_of_' || o.field || ' of ' || o.venue
        ),
        o.field
    ) as raw_field,
    case o.field
        when 'openInterestValue'
            then {{ fact_about_venue(source_name='ccxt', dataset='open_interest', fact='unit_of_openInterestValue', venue='o.venue') }}
        else {{ fact_about_venue(source_name='ccxt', dataset='open_interest', fact='unit_of_openInterestAmount', venue='o.venue') }}
    end as raw_unit
from (
    select
        venue,
        symbol,
        "timestamp" as raw_ms,
        coalesce(open_interest_amount, open_interest_value) as raw_value,
        case when open_interest_amount is null then 'openInterestValue' else 'openInterestAmount' end as field,
        _observed_at
    from {{ source('ccxt', dataset) }}
    where coalesce(open_interest_amount, open_interest_value) > 0
) as o
where raw_unit <> 'unknown' or o.field = 'openInterestAmount'
{%- endmacro %}
