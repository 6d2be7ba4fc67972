{{ config(materialized='incremental', meta={'time': 'liquidated_at', 'look_back': 1, 'look_ahead': 1}) }}
{%- set window = replaced_window() %}
with events as (
    select *
    from {{ ref('int_liquidations') }}
    where {{ in_window_ms('raw_ms', window) }}
    qualify row_number() over (partition by instrument_id, event_id order by precedence, raw_ms) = 1
)

select
    e.venue,
    e.source,
    e.instrument_id,
    i.base_asset,
    e.liquidated_at,
    e.event_id,
    e.liquidated_side,
    e.price / i.multiplier as price,
    e.price_kind,
    {{ size_base('e.raw_size', 'e.raw_unit', 'e.price / i.multiplier') }} as size_base,
    {%- set size_usd %}
    case when i.usd_method is not null then {{ size_quote('e.raw_size', 'e.raw_unit', 'e.price / i.multiplier') }} end
    {%- endset %}
    {{ possible_usd(size_usd) }} as size_usd,
    e.completeness_class,
    e.raw_side,
    e.raw_size,
    e.raw_unit,
    e.venue_usd,
    {{ nulled_with_usd('e.nulled', size_usd, 'size_usd') }} as nulled,
    e.liquidated_at + to_minutes(d.value::bigint) as known_at,
    e._observed_at as _loaded_at,
    i._versions
from events as e
{{ join_instrument('e', 'e.liquidated_at') }}
{{ join_fact('d', 'e', 'liquidations', "'publication_delay_minutes'") }}
where {{ in_life('e.liquidated_at') }}
