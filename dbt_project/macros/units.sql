{#
  Conversions from the venue's unit to one unit. `i` is the version of the instrument that was valid;
  `price` is in quote currency per whole coin. Units of sizes: `listed_base` (coins as listed: one 1000PEPE is 1000 PEPE), `base` (whole
  coins), `contracts`, `quote`. A linear contract is worth its size in listed coins, an inverse one its size in quote currency; a quanto
  contract has neither value, and gives null. `unknown` means coins or contracts: null, except where a contract is one listed coin and
  both are equal.
#}

{% macro size_base(raw, unit, price) -%}
    case {{ unit }}
        when 'listed_base' then {{ raw }} * i.multiplier
        when 'base' then {{ raw }}
        when 'quote' then {{ raw }} / {{ price }}
        when 'unknown' then case when i.contract_type = 'linear' and i.contract_size = 1 then {{ raw }} * i.multiplier end
        when 'contracts' then case i.contract_type
            when 'linear' then {{ raw }} * i.contract_size * i.multiplier
            when 'inverse' then {{ raw }} * i.contract_size / {{ price }}
        end
    end
{%- endmacro %}

{% macro size_quote(raw, unit, price) -%}
    case
        when {{ unit }} = 'quote' then {{ raw }}
        when {{ unit }} = 'contracts' and i.contract_type = 'inverse' then {{ raw }} * i.contract_size
        else {{ size_base(raw, unit, price) }} * {{ price }}
    end
{%- endmacro %}

{# A value in US dollars, null where it can't be (`vars: possible`). #}
{% macro possible_usd(value) -%} case when {{ is_possible(value, 'volume_usd') }} then {{ value }} end {%- endmacro %}

{# `nulled` of a row, with a value in US dollars that can't be. #}
{% macro nulled_with_usd(nulled, value, name) -%}
    nullif(concat_ws('; ', {{ nulled }}, case when not {{ is_possible(value, 'volume_usd') }} then '{{ name }} ' || {{ value }} end), '')
{%- endmacro %}

{# True if a size in this unit has a value in quote currency without a price. #}
{% macro is_quote(unit) -%} ({{ unit }} = 'quote' or {{ unit }} = 'contracts' and i.contract_type = 'inverse') {%- endmacro %}

{#
  A funding rate as a fraction per interval, positive when longs pay shorts. `fraction_per_second_1e30` is a fraction of 1e30 per second;
  `usd_per_contract_and_interval` is US dollars per contract of one coin, divided by the mark price in US dollars.
#}
{% macro rate_per_interval(rate, unit, interval_hours, mark_price) -%}
    case coalesce({{ unit }}, 'fraction_per_interval')
        when 'fraction_per_interval' then {{ rate }}
        when 'fraction_per_8_hours' then {{ rate }} / 8 * {{ interval_hours }}
        when 'fraction_per_second_1e30' then {{ rate }} * 3600 / 1e30 * {{ interval_hours }}
        when 'usd_per_contract_and_interval' then {{ rate }} / nullif({{ mark_price }}, 0)
    end
{%- endmacro %}
