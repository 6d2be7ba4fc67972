{{ config(materialized='incremental', meta={'time': 'observed_at', 'look_back': 1, 'look_ahead': 2}) }}
{%- set window = replaced_window() %}
with observations as (  -- history before a snapshot, then the lower precedence, then the first within the hour
    select *
    from {{ ref('int_open_interest') }}
    where {{ in_window_ms('raw_ms', window, margin=1) }} and {{ in_window('observed_at', window) }}
    qualify row_number() over (
        partition by instrument_id, observed_at order by one_sided is null, is_snapshot, precedence, raw_ms, _observed_at
    ) = 1
),

valued as (
    select
        o.*,
        i.base_asset,
        i.usd_method,
        i._versions,
        -- The row's own mark price, else the close of the bar that ends then: of the mark price before that of trades.
        coalesce(o.mark_price / i.multiplier, c.mark_close, c.close) as mark,
        {{ size_base('o.one_sided', 'o.raw_unit', 'mark') }} as oi_base,
        {{ size_quote('o.one_sided', 'o.raw_unit', 'mark') }} as oi_quote,
        case
            when o.mark_price is not null and not o.is_snapshot and r.price_proxy and o.source = 'hyperliquid_archive' then 'close_proxy'
            when o.mark_price is not null then 'venue_mark'
            when c.mark_close is not null then 'mark_candle'
            when o.venue_usd is not null then 'venue_usd'
            when c.close is not null then 'last_close'
        end as mark_method
    from (select *, observed_at - interval 1 hour as bar from observations) as o
    {{ join_instrument('o', 'o.observed_at') }}
    left join {{ ref('int_candles_converted') }} as c on o.instrument_id = c.instrument_id and o.bar = c.opened_at
    left join {{ ref('stg_meta__scope') }} as r on true
    where {{ in_life('o.observed_at') }}
)

select
    v.venue,
    v.source,
    v.instrument_id,
    v.base_asset,
    v.observed_at,
    v.oi_base,
    {%- set oi_usd %} case when v.usd_method is not null then case v.mark_method when 'venue_usd' then v.venue_usd else coalesce(v.oi_quote, v.venue_usd) end end {%- endset %}
    {{ possible_usd(oi_usd) }} as oi_usd,
    v.usd_method,
    v.raw_value,
    v.raw_unit,
    v.sides_counted,
    v.mark as mark_price,
    v.mark_method,
    v.venue_usd,
    v.stamp,
    v.is_snapshot,
    {{ nulled_with_usd('v.nulled', oi_usd, 'oi_usd') }} as nulled,
    case when v.is_snapshot then v._observed_at else v.stamp + to_minutes(d.value::bigint) end as known_at,
    v._observed_at as _loaded_at,
    v._versions
from valued as v
{{ join_fact('d', 'v', 'open_interest', "'publication_delay_minutes'") }}
