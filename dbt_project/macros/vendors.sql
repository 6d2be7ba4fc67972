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

{#
  What a vendor tells of a day of a venue's instrument, to be held against the venue's own rows: open interest at the day's end at the
  day's last price, volume of a whole day. Only what is told in coins is turned into US dollars.
#}
{% macro vendor_references(of) -%}
with bars as (
    select
        venue,
        symbol,
        date_trunc('day', opened_at) as day,
        arg_max(close, opened_at) as price,
        sum(raw_volume) as volume,
        sum(raw_volume * (high + low + close) / 3) as volume_usd,
        min(raw_ms) as raw_ms,
        max(loaded_at) as loaded_at
    from {{ ref('stg_' ~ of ~ '__candles') }}
    where raw_volume_unit = 'listed_base'
    group by all
    having count(*) = 24
),

told as (
    select venue, symbol, day, raw_ms, loaded_at, price, 'volume' as metric, volume as raw_value, volume_usd as value
    from bars
    union all
    select o.venue, o.symbol, b.day, o.raw_ms, o.loaded_at, b.price, 'open_interest', o.raw_value, o.raw_value / s.value::double * b.price
    from {{ ref('stg_' ~ of ~ '__open_interest') }} as o
    inner join bars as b on o.venue = b.venue and o.symbol = b.symbol and o.observed_at = b.day + interval 1 day
    inner join {{ ref('venue_facts') }} as s
        on s.source = '{{ of }}' and s.dataset = 'open_interest' and s.fact = 'sides_of_' || o.raw_field
    where o.raw_unit = 'listed_base'
)

select
    '{{ of }}' as venue,
    t.metric,
    t.venue as covers,
    t.symbol,
    i.listed_asset,
    i.base_asset,
    t.raw_ms,
    t.day + case t.metric when 'open_interest' then interval 1 day else interval 0 day end as period_start,
    t.day + interval 1 day as period_end,
    t.raw_value,
    'listed_base' as raw_unit,
    t.value,
    'usd' as unit,
    t.price,
    t.loaded_at
from told as t
left join (
    select venue, symbol, any_value(listed_asset) as listed_asset, any_value(base_asset) as base_asset
    from {{ ref('stg_' ~ of ~ '__instruments') }}
    group by all
) as i using (venue, symbol)
{%- endmacro %}
