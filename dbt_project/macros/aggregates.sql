{# A sum over instruments in a fixed order: floating-point addition depends on it. Null where no value is known. #}
{% macro sum_of(value, where=none) -%}
    sum({{ value }} order by instrument_id) {%- if where %} filter ({{ where }}) {%- endif %}
{%- endmacro %}

{# How the mean 8-hour funding is weighted: by open interest, or equally where an instrument's open interest is missing. #}
{% macro funding_weighting() -%}
    case
        when count(funding_8h) = 0 then null
        when count(funding_8h) = count(case when funding_weight > 0 then funding_8h end) then 'oi'
        else 'equal'
    end
{%- endmacro %}

{% macro weighted_funding() -%}
    case {{ funding_weighting() }}
        when 'oi' then {{ sum_of('funding_8h * funding_weight') }} / {{ sum_of('funding_weight', 'funding_8h is not null') }}
        when 'equal' then {{ sum_of('funding_8h') }} / count(funding_8h)
    end
{%- endmacro %}

{# Seen over expected per dataset, as columns, over the groups of `keys`. #}
{% macro coverage_by(keys) -%}
    select
        {{ keys }},
        count(distinct venue) as venues_total,
        sum(seen) filter (dataset = 'candles') / sum(expected) filter (dataset = 'candles') as coverage_price,
        sum(seen) filter (dataset = 'funding_rates') / sum(expected) filter (dataset = 'funding_rates') as coverage_funding,
        sum(seen) filter (dataset = 'open_interest') / sum(expected) filter (dataset = 'open_interest') as coverage_oi,
        sum(seen) filter (dataset = 'liquidations') / sum(expected) filter (dataset = 'liquidations') as coverage_liquidations
    from {{ ref('int_coverage') }}
    group by {{ keys }}
{%- endmacro %}
