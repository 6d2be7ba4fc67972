{#
  A sum that doesn't depend on the order of its rows, as that of floating-point numbers does: of whole multiples of 2^-`bits`, so exact but
  for smaller digits, and a value alone is its own sum. Values of 2^(120 - `bits`) and more can't be, and are left out. An ordered sum would
  sort each group, in six times the time and a kilobyte of memory a row. Null where no value is known. `over` is a window's name.
#}
{% macro sum_of(value, where=none, bits=60, over=none) -%}
    {%- set scale = 2 ** bits -%}
    (sum(case when abs({{ value }}) < {{ 2 ** (120 - bits) }} then (({{ value }}) * {{ scale }}.0::double)::hugeint end)
    {%- if where %} filter ({{ where }}) {%- endif %}
    {%- if over %} over {{ over }} {%- endif %}::double / {{ scale }}.0::double)
{%- endmacro %}

{# The mean of the known values with these weights; the plain mean where none of them has a weight above zero. #}
{% macro mean_by(value, weight) -%}
    coalesce(
        {{ sum_of(value ~ ' * ' ~ weight) }} / nullif({{ sum_of(weight, value ~ ' is not null') }}, 0),
        {{ sum_of(value) }} / nullif(count({{ value }}), 0)
    )
{%- endmacro %}

{# How the mean 8-hour funding is weighted: `oi`, `volume` where one of the weights is estimated or missing, `equal` where none is known. #}
{% macro funding_weighting() -%}
    case
        when count(funding_8h) = 0 then null
        when coalesce(sum(funding_weight) filter (funding_8h is not null), 0) = 0 then 'equal'
        when count(funding_8h) = count(funding_8h) filter (weighted_by_oi) then 'oi'
        else 'volume'
    end
{%- endmacro %}

{% macro weighted_funding() -%}
    case {{ funding_weighting() }}
        when 'equal' then {{ sum_of('funding_8h') }} / count(funding_8h)
        else {{ sum_of('funding_8h * funding_weight') }} / nullif({{ sum_of('funding_weight', 'funding_8h is not null') }}, 0)
    end
{%- endmacro %}

{# The columns of a group's mean funding. #}
{% macro mean_funding() -%}
    {{ weighted_funding() }} as funding_8h,
    {{ funding_weighting() }} as funding_weighting,
    {{ sum_of('funding_8h') }} / nullif(count(funding_8h), 0) as funding_8h_equal,
    case when count(funding_8h) > 0 then
        coalesce({{ sum_of('funding_weight', 'funding_8h is not null and weighted_by_oi') }} / nullif({{ sum_of('funding_weight', 'funding_8h is not null') }}, 0), 0)
    end as funding_weight_known
{%- endmacro %}

{#
  The product of growth factors over a window: of their logarithms the exact sum, since a product of floating-point numbers depends on how a
  window is cut into parts, and its last digits with each day that is added.
#}
{% macro product_of(factor, over) -%}
    (case when min({{ factor }}) over {{ over }} > 0 then exp({{ sum_of('ln(nullif(' ~ factor ~ ', 0))', over=over) }}) else 0 end)
{%- endmacro %}

{#
  Of each measure its sum over the parts of a day, and its growth from the day before: the sum over the parts that are known on both days
  over theirs before; null where there is none. `parts` is a relation with the day, the `keys`, and the measures by part.
#}
{% macro levels_and_growth(parts, keys, part, measures) -%}
    select
        day {%- for key in keys %}, {{ key }} {%- endfor %}
        {%- for measure in measures %},
        {{ sum_of(measure) }} as {{ measure }},
        {{ sum_of(measure, measure ~ '_before > 0') }}
            / {{ sum_of(measure ~ '_before', measure ~ ' is not null and ' ~ measure ~ '_before > 0') }} as {{ measure }}_growth
        {%- endfor %}
    from (
        select
            *
            {%- for measure in measures %},
            case when lag(day) over series = day - 1 then lag({{ measure }}) over series end as {{ measure }}_before
            {%- endfor %}
        from ({{ parts }})
        window series as (partition by {{ (keys + [part]) | join(', ') }} order by day)
    )
    group by all
{%- endmacro %}

{#
  Levels over a constant set of parts, to six decimals: a level grows as `levels_and_growth` says; it begins with the raw sum, and again after a
  day that has no part in common with the one before.
#}
{% macro chained_levels(relation, keys, measures) -%}
    select
        day {%- for key in keys %}, {{ key }} {%- endfor %}
        {%- for measure in measures %},
        round(
            first_value({{ measure }}) over {{ measure }}_span * {{ product_of('coalesce(' ~ measure ~ '_growth, 1)', measure ~ '_span') }}, 6
        ) as {{ measure }}_chained
        {%- endfor %}
    from (
        select
            *
            {%- for measure in measures %},
            sum(({{ measure }}_growth is null)::integer) over (
                {%- if keys %}partition by {{ keys | join(', ') }} {% endif %}order by day) as {{ measure }}_begins
            {%- endfor %}
        from {{ relation }}
    )
    window
        {%- for measure in measures %}
        {{ measure }}_span as (partition by {{ (keys + [measure ~ '_begins']) | join(', ') }} order by day) {{- "," if not loop.last }}
        {%- endfor %}
{%- endmacro %}

{# Seen over expected per dataset, as columns, over the groups of `keys`, of the days of a window. #}
{% macro coverage_by(keys, window) -%}
    select
        {{ keys }},
        count(distinct venue) as venues_total,
        sum(seen) filter (dataset = 'candles') / sum(expected) filter (dataset = 'candles') as coverage_price,
        sum(seen) filter (dataset = 'funding_rates') / sum(expected) filter (dataset = 'funding_rates') as coverage_funding,
        sum(seen) filter (dataset = 'open_interest') / sum(expected) filter (dataset = 'open_interest') as coverage_oi,
        sum(comparable) filter (dataset = 'liquidations') / sum(expected) filter (dataset = 'liquidations') as coverage_liquidations,
        sum(seen) filter (dataset = 'liquidations') / sum(expected) filter (dataset = 'liquidations') as coverage_liquidations_listed
    from {{ ref('int_coverage') }}
    where {{ in_window('day', window) }}
    group by {{ keys }}
{%- endmacro %}

{#
  How far a number can be trusted, in words: `whole`; `unknown`; or a class and, after a colon, why: `part` (observations or venues are
  missing) or another `class` for the same, and `notes`, SQL texts that are null where they don't hold. `of` names the observations
  that `coverage` counts.
#}
{% macro trust(value, coverage, of, venues=none, venues_total=none, notes=[], class='part') -%}
    case when {{ value }} is null then 'unknown' else coalesce(nullif(concat_ws('; ',
        case when coalesce({{ coverage }}, 0) < 1 {%- if venues %} or {{ venues }} < {{ venues_total }} {%- endif %} then
            '{{ class }}: ' || floor(1000 * coalesce({{ coverage }}, 0)) / 1000 || ' of {{ of }}'
            {%- if venues %} || ', ' || {{ venues }} || ' of ' || {{ venues_total }} || ' venues' {%- endif %}
        end
        {%- for note in notes %},
        {{ note }}
        {%- endfor %}
    ), ''), 'whole') end
{%- endmacro %}

{#
  The note of a day that was not over by the run's clock; of funding also of a day that ended with it: the settlement that closes the day
  wasn't due yet.
#}
{% macro in_progress(day, with_its_end=false) -%}
    case
        when {{ day }} + interval 1 day {{ '>=' if with_its_end else '>' }} (select as_of from {{ ref('stg_meta__scope') }})
            then 'part: the day was not {{ 'settled' if with_its_end else 'over' }}'
    end
{%- endmacro %}

{# The note of a mean funding whose weights aren't open interest alone. #}
{% macro estimated_weights(share) -%}
    case when {{ share }} < 1 then 'estimated: ' || floor(1000 * {{ share }}) / 1000 || ' of the weights is open interest' end
{%- endmacro %}

{# The note of liquidations some of whose lists are not complete. #}
{% macro share_listed(of) -%}
    case when {{ of }}.coverage_liquidations < 1 then floor(1000 * {{ of }}.coverage_liquidations_listed) / 1000 || ' listed' end
{%- endmacro %}

{# The columns of trust beside the numbers of an asset or of MARKET. #}
{% macro trust_of_asset(t) -%}
    {%- set total, day = t ~ '.venues_total', t ~ '.day' -%}
    {{ trust(t ~ '.close', t ~ '.coverage_price', 'bars', t ~ '.price_venues', total, [in_progress(day)]) }} as price_trust,
    {{ trust(t ~ '.volume_usd', t ~ '.coverage_price', 'bars', notes=[in_progress(day)]) }} as volume_trust,
    {{ trust(t ~ '.oi_usd', t ~ '.coverage_oi', 'hours', t ~ '.oi_venues', total, [in_progress(day)]) }} as oi_trust,
    {{ trust(
        t ~ '.funding_8h', t ~ '.coverage_funding', 'settlements', t ~ '.funding_venues', total,
        [estimated_weights(t ~ '.funding_weight_known'), in_progress(day, true)]
    ) }} as funding_trust,
    {{ trust(
        t ~ '.liq_long_usd', t ~ '.coverage_liquidations', 'lists complete', notes=[share_listed(t), in_progress(day)], class='lower bound'
    ) }} as liquidations_trust
{%- endmacro %}
