{#
  The staging models of data vendors, which resell other venues' data. `symbol` is an SQL expression over the raw row `r` for the venue's
  own symbol, `time` one for the time of the value in milliseconds. Units and sides are facts by venue: a vendor passes on the venue's
  numbers.
#}
{% macro vendor_running_rates(source_name, table, symbol, time, rate) -%}
select
    r.venue,
    {{ symbol }} as symbol,
    {{ from_ms(time) }} as observed_at,
    r.{{ rate }} as raw_rate
from {{ source(source_name, table) }} as r
where r.{{ rate }} is not null
{%- endmacro %}

{% macro vendor_open_interest(source_name, table, symbol, time, value) -%}
select
    r.venue,
    {{ symbol }} as symbol,
    {{ time }} as raw_ms,
    r.{{ value }} as raw_value,
    coalesce(
        (
            select max(substr(f.fact, length('sides_of_') + 1))
            from {{ ref('venue_facts') }} as f
            where f.source = '{{ source_name }}' and f.dataset = 'open_interest' and f.fact = 'sides_of_open_interest of ' || r.venue
        ),
        'open_interest'
    ) as raw_field,
    {{ fact_about_venue(source_name=source_name, dataset='open_interest', fact='unit', venue='r.venue') }} as raw_unit,
    r._observed_at
from {{ source(source_name, table) }} as r
where r.{{ value }} > 0
{%- endmacro %}

{# `price_prefix` stands before `open`, `high`, `low` and `close` in the vendor's names. #}
{% macro vendor_candles(source_name, symbol, volume, price_prefix='') -%}
select
    r.venue,
    {{ symbol }} as symbol,
    r."time" as raw_ms,
    {%- for price in ['open', 'high', 'low', 'close'] %}
    r.{{ price_prefix }}{{ price }} as {{ price }},
    {%- endfor %}
    r.{{ volume }} as raw_volume,
    {{ fact_about_venue(source_name=source_name, dataset='candles', fact='unit_of_volume', venue='r.venue') }} as raw_volume_unit,
    r._observed_at
from {{ source(source_name, 'candles') }} as r
where {% for price in ['open', 'high', 'low', 'close'] -%}
    r.{{ price_prefix }}{{ price }} is not null {%- if not loop.last %} and {% endif %}
{%- endfor %}
{%- endmacro %}

{# The venue's own symbol of a CoinAPI id, from CoinAPI's list of symbols. #}
{% macro coinapi_symbol() -%}
    (select any_value(n.symbol_id_exchange) from {{ source('coinapi', 'instruments') }} as n where n.symbol_id = r.symbol and n.venue = r.venue)
{%- endmacro %}

{# The venue's own symbol of Kaiko's `btc-usdt` (unverified). #}
{% macro kaiko_symbol(name) -%}
    case r.venue when 'okx' then upper({{ name }}) || '-SWAP' else upper(replace({{ name }}, '-', '')) end
{%- endmacro %}
