{#
  What an aggregator tells of assets over all its venues by day, in canonical columns: open interest in US dollars at the day's end,
  a rate in percent, liquidations by side. `stamp` is the column with the day's start, the others name the columns of the numbers.
#}
{% macro daily_references(of, stamp, open_interest, rate, longs, shorts) -%}
select
    t.metric,
    null::varchar as symbol,  -- of no instrument: over all of them
    t.symbol as listed_asset,
    t.symbol as base_asset,
    t.stamp as raw_ms,
    {{ from_ms('t.stamp') }} + case t.metric when 'open_interest' then interval 1 day else interval 0 day end as period_start,
    {{ from_ms('t.stamp') }} + interval 1 day as period_end,
    t.raw_value,
    t.raw_unit,
    case t.raw_unit when 'percent_per_interval' then t.raw_value / 100 else t.raw_value end as value,
    case t.raw_unit when 'percent_per_interval' then 'fraction_per_interval' else 'usd' end as unit,
    t._observed_at as loaded_at
from (
    {%- for metric, table, column, unit in [
        ('open_interest', 'open_interest', open_interest, 'usd'), ('funding_rate', 'funding_rates', rate, 'percent_per_interval'),
        ('long_liquidations', 'liquidations', longs, 'usd'), ('short_liquidations', 'liquidations', shorts, 'usd')
    ] %}
    select symbol, "{{ stamp }}" as stamp, '{{ metric }}' as metric, {{ column }} as raw_value, '{{ unit }}' as raw_unit, _observed_at
    from {{ source(of, table) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
) as t
{%- endmacro %}
