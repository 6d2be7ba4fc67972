{{ config(materialized='incremental', meta={'time': 'opened_at', 'look_back': 1, 'look_ahead': 1}) }}
{%- set window = replaced_window() %}
with bars as (
    select *, (high + low + close) / 3 as typical
    from {{ ref('int_candles') }}
    where {{ in_window_ms('raw_ms', window) }}
    qualify row_number() over (partition by instrument_id, opened_at order by close is null, precedence, raw_ms) = 1
)

select
    b.venue,
    b.source,
    b.instrument_id,
    i.base_asset,
    b.opened_at,
    b.open / i.multiplier as open,
    b.high / i.multiplier as high,
    b.low / i.multiplier as low,
    b.close / i.multiplier as close,
    coalesce(b.base_volume * i.multiplier, {{ size_base('b.raw_volume', 'b.raw_volume_unit', 'b.typical / i.multiplier') }})
        / n.value::double as volume_base,
    {%- set volume_usd %}
    case when i.usd_method is not null
        then coalesce(b.quote_volume, {{ size_quote('b.raw_volume', 'b.raw_volume_unit', 'b.typical / i.multiplier') }}) / n.value::double end
    {%- endset %}
    {{ possible_usd(volume_usd) }} as volume_usd,
    case
        when volume_usd is null then null
        when b.quote_volume is not null then 'quote_turnover'
        when {{ is_quote('b.raw_volume_unit') }} then 'face_value'
        else 'volume_x_typical_price'
    end as volume_usd_method,
    b.quote_volume,
    b.trades,
    b.mark_close / i.multiplier as mark_close,
    b.index_close / i.multiplier as index_close,
    i.quote_asset,
    i.usd_method,
    b.raw_volume,
    b.raw_volume_unit,
    {{ nulled_with_usd('b.nulled', volume_usd, 'volume_usd') }} as nulled,
    b.opened_at + interval 1 hour + to_minutes(d.value::bigint) as known_at,
    b._observed_at as _loaded_at,
    i._versions
from bars as b
{{ join_instrument('b', 'b.opened_at') }}
{{ join_fact('n', 'b', 'candles', "'sides_of_volume'", 'b.opened_at') }}
{{ join_fact('d', 'b', 'candles', "'publication_delay_minutes'") }}
where {{ in_life('b.opened_at', is_bar=true) }}
