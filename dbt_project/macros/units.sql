{#
  From the number and the unit that a venue states to one unit (the formulae of `semantics.md`, section 2). `i` is the version of
  the instrument that was valid; `price` is per whole coin, in quote currency. Units: `listed_base` (coins as listed: one
  1000PEPE is 1000 PEPE), `base` (whole coins), `contracts`, `quote`. A contract is worth its size in listed coins where it is
  linear, in quote currency where it is inverse; a quanto contract is worth neither, and gives null. So does `unknown`, coins
  or contracts, but where a contract is one listed coin and both are the same.
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

{# Whether a number states its worth in quote currency without a price. #}
{% macro is_quote(unit) -%} ({{ unit }} = 'quote' or {{ unit }} = 'contracts' and i.contract_type = 'inverse') {%- endmacro %}
