{{ config(materialized='incremental', meta={'time': 'observed_at', 'look_back': 1, 'look_ahead': 1}) }}
{%- set window = replaced_window() %}
{#- What one of a size in quote currency is worth: of an inverse contract its face. #}
{%- set face = "case o.raw_unit when 'quote' then 1 else i.contract_size end" %}
with books as (
    select
        o.*,
        coalesce(o.best_bid < o.best_ask, false) as has_mid,
        (o.best_bid + o.best_ask) / 2 as mid
    from {{ ref('int_order_book_depth') }} as o
    where {{ in_window('o.observed_at', window) }}
    qualify row_number() over (partition by o.instrument_id, o.observed_at order by o.precedence) = 1
)

select
    o.venue,
    o.source,
    o.instrument_id,
    i.base_asset,
    o.observed_at,
    case when o.has_mid then o.best_bid / i.multiplier end as best_bid,
    case when o.has_mid then o.best_ask / i.multiplier end as best_ask,
    case when o.has_mid then o.mid / i.multiplier end as mid,
    case when o.has_mid then (o.best_ask - o.best_bid) / o.mid end as spread,
    {%- for side in ['bid', 'ask'] %}
    {%- for band in order_book_bands() %}
    {%- set size, value, coins = 'o.%s_size_%s' % (side, band), 'o.%s_value_%s' % (side, band), 'o.%s_coins_%s' % (side, band) %}
    case
        when {{ is_quote('o.raw_unit') }} then {{ coins }} * {{ face }} * i.multiplier
        else {{ size_base(size, 'o.raw_unit', 'null::double') }}
    end as {{ side }}_base_{{ band }}bps,
    {%- set usd %}
        case
            when i.usd_method is null then null
            when {{ is_quote('o.raw_unit') }} then {{ size }} * {{ face }}
            when o.raw_unit = 'listed_base' then {{ value }}
            when i.contract_type = 'linear' then {{ value }} * i.contract_size
        end
    {%- endset %}
    {{ possible_usd(usd) }} as {{ side }}_usd_{{ band }}bps,
    {%- endfor %}
    {%- endfor %}
    o.bid_reach,
    o.ask_reach,
    o.bid_levels,
    o.ask_levels,
    -- The bands that are null because the levels given end before.
    case when o.has_mid then nullif(concat_ws('; '
        {%- for side in ['bid', 'ask'] %}
        {%- for band in order_book_bands() %},
        case when o.{{ side }}_size_{{ band }} is null then '{{ side }} {{ band }}' end
        {%- endfor %}
        {%- endfor %}
    ), '') end as unreached,
    o.raw_unit,
    o.stamp,
    nullif(concat_ws('; ', o.nulled, case
        when o.best_bid is null then 'no bid'
        when o.best_ask is null then 'no ask'
        when not o.has_mid then 'crossed: bid ' || o.best_bid || ', ask ' || o.best_ask
    end), '') as nulled,
    o.observed_at as known_at,
    i._versions
from books as o
{{ join_instrument('o', 'o.observed_at') }}
