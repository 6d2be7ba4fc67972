{#
  An aggregator's daily numbers of an asset over all its venues, in canonical columns: open interest in US dollars at the day's end, a
  funding rate in percent, liquidations by side in US dollars. `day` is the column with the day's start in milliseconds, the others are
  the columns of the numbers.
#}
{% macro daily_references(source_name, day, open_interest, rate, longs, shorts) -%}
select
    t.metric,
    t.symbol as listed_asset,
    {{ from_ms('t.day') }} + case t.metric when 'open_interest' then interval 1 day else interval 0 day end as period_start,
    {{ from_ms('t.day') }} + interval 1 day as period_end,
    t.raw_value,
    t.raw_unit,
    t._observed_at
from (
    {%- for metric, table, column, unit in [
        ('open_interest', 'open_interest', open_interest, 'usd'), ('funding_rate', 'funding_rates', rate, 'percent_per_interval'),
        ('long_liquidations', 'liquidations', longs, 'usd'), ('short_liquidations', 'liquidations', shorts, 'usd')
    ] %}
    select symbol, "{{ day }}" as day, '{{ metric }}' as metric, {{ column }} as raw_value, '{{ unit }}' as raw_unit, _observed_at
    from {{ source(source_name, table) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
) as t
{%- endmacro %}
