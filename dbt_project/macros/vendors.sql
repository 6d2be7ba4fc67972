{#
  A vendor's rows in canonical columns. `native` is an SQL expression for the venue's own name of the instrument, `time` the time in
  milliseconds at which a value stood, `r` the raw row. Units and sides are facts by venue: a vendor passes on what a venue sent.
#}
{% macro vendor_running_rates(of, table, native, time, rate) -%}
select
    r.venue,
    {{ native }} as symbol,
    {{ from_ms(time) }} as observed_at,
    r.{{ rate }} as raw_rate,
    'fraction_per_interval' as raw_unit,
    r.{{ rate }} as rate
from {{ source(of, table) }} as r
where r.{{ rate }} is not null
{%- endmacro %}

{% macro vendor_open_interest(of, table, native, time, value) -%}
select
    r.venue,
    {{ native }} as symbol,
    r."time" as raw_ms,
    {{ from_ms(time) }} as stamp,
    {{ hour_of(time) }} as observed_at,
    r.{{ value }} as raw_value,
    coalesce(
        (
            select max(substr(f.fact, length('sides_of_') + 1))
            from {{ ref('venue_facts') }} as f
            where f.source = '{{ of }}' and f.dataset = 'open_interest' and f.fact = 'sides_of_open_interest of ' || r.venue
        ),
        'open_interest'
    ) as raw_field,
    {{ fact_of_venue(of, 'open_interest', 'unit', 'r.venue') }} as raw_unit,
    false as is_snapshot,
    r._observed_at as loaded_at
from {{ source(of, table) }} as r
where r.{{ value }} > 0
{%- endmacro %}

{% macro vendor_candles(of, native, prices, volume) -%}
select
    r.venue,
    {{ native }} as symbol,
    r."time" as raw_ms,
    {{ from_ms('r."time"') }} as opened_at,
    {%- for price in ['open', 'high', 'low', 'close'] %}
    r.{{ prices }}{{ price }} as {{ price }},
    {%- endfor %}
    r.{{ volume }} as raw_volume,
    {{ fact_of_venue(of, 'candles', 'unit_of_volume', 'r.venue') }} as raw_volume_unit,
    r._observed_at as loaded_at
from {{ source(of, 'candles') }} as r
where r.{{ prices }}open is not null and r.{{ prices }}high is not null and r.{{ prices }}low is not null and r.{{ prices }}close is not null
{%- endmacro %}

{# CoinAPI's list tells the venue's own name of each of its ids. #}
{% macro coinapi_native() -%}
    (select any_value(n.symbol_id_exchange) from {{ source('coinapi', 'instruments') }} as n where n.symbol_id = r.symbol and n.venue = r.venue)
{%- endmacro %}

{# Kaiko's `btc-usdt`, as the venue writes it (U). #}
{% macro kaiko_native(name) -%}
    case r.venue when 'okx' then upper({{ name }}) || '-SWAP' else upper(replace({{ name }}, '-', '')) end
{%- endmacro %}
