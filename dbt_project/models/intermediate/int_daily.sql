{#- Margin: the days of a week. -#}
{{ config(
    materialized='incremental', meta={'time': 'day', 'look_ahead': 144, 'follows': ['int_daily_instruments', 'int_calendar', 'int_coverage', 'int_days_apart']}
) }}
{%- set window = replaced_window() %}
-- Daily figures of the instruments in scope on the full calendar, with measures over several days. Liquidations are zero only where they
-- are known completely. What `int_series_faults` sets apart is null: its hours are in the facts, in no daily sum.
with sound as (
    select d.* replace (
        {%- for flag, columns in {
            'candles': ['open', 'high', 'low', 'close', 'candles', 'realised_var', 'returns', 'range_var', 'ranges'],
            'volume': ['volume_base', 'volume_usd'],
            'mark': ['mark_close', 'index_close', 'basis'],
            'funding': ['funding_sum', 'funding_8h'],
            'open_interest': ['oi_base', 'oi_usd', 'oi_usd_at_funding'],
            'liquidations': ['liq_long_usd', 'liq_short_usd'],
        }.items() %}
        {%- for column in columns %}
        case when f.{{ flag }} is not true then d.{{ column }} end as {{ column }},
        {%- endfor %}
        {%- endfor %}
        d._loaded_at as _loaded_at
    )
    from {{ ref('int_daily_instruments') }} as d
    left join {{ ref('int_days_apart') }} as f on d.instrument_id = f.instrument_id and d.day = f.day
    where {{ in_window('d.day', window, margin=144) }}
)

select
    c.day,
    c.venue,
    c.instrument_id,
    c.base_asset,
    d.* exclude (day, venue, instrument_id, base_asset, liq_long_usd, liq_short_usd, oi),
    case when l.seen > 0 and x.liquidations is not true then case when d.liq_events > 0 then d.liq_long_usd when l.comparable > 0 then 0 end end as liq_long_usd,
    case when l.seen > 0 and x.liquidations is not true then case when d.liq_events > 0 then d.liq_short_usd when l.comparable > 0 then 0 end end as liq_short_usd,
    -- Where open interest is missing, volume times the open interest over volume of the asset, else of all assets, that day.
    coalesce(d.oi, d.volume_usd * coalesce(
        sum(case when d.volume_usd > 0 then d.oi end) over asset / sum(case when d.oi is not null then nullif(d.volume_usd, 0) end) over asset,
        sum(case when d.volume_usd > 0 then d.oi end) over today / sum(case when d.oi is not null then nullif(d.volume_usd, 0) end) over today,
        1
    )) as funding_weight,
    coalesce(d.oi > 0, false) as weighted_by_oi,
    -- False with less than nine tenths of the bars of the day's fullest series: close, high and low may be of another time.
    d.candles >= 0.9 * max(d.candles) over (partition by c.day, c.base_asset) as is_priced,
    case when d.returns >= 0.9 * 24 then sqrt(d.realised_var * 365) end as realised_vol_1d,
    case when sum(d.returns) over week >= 0.9 * 168 then sqrt({{ sum_of('d.realised_var', bits=100, over='week') }} * 365 / 7) end as realised_vol_7d,
    case when d.ranges >= 0.9 * 24 then sqrt(d.range_var * 365) end as range_vol_1d,
    case when sum(d.ranges) over week >= 0.9 * 168 then sqrt({{ sum_of('d.range_var', bits=100, over='week') }} * 365 / 7) end as range_vol_7d,
    case when count(d.volume_usd) over week = 7 then {{ sum_of('d.volume_usd', over='week') }} / 7 end as volume_usd_7d,
    max(d.oi_base) over day_before as oi_base_before,
    -- In the contract's own unit: the coins of an inverse contract increase when the price falls.
    case when i.contract_type = 'inverse' then d.oi_usd / nullif(max(d.oi_usd) over day_before, 0) else d.oi_base / nullif(max(d.oi_base) over day_before, 0) end as oi_growth
from {{ ref('int_calendar') }} as c
left join (select *, coalesce(oi_usd_at_funding, oi_usd) as oi from sound) as d on c.instrument_id = d.instrument_id and c.day = d.day
left join {{ ref('int_days_apart') }} as x on c.instrument_id = x.instrument_id and c.day = x.day
left join {{ ref('int_coverage') }} as l on c.instrument_id = l.instrument_id and c.day = l.day and l.dataset = 'liquidations'
{{ join_instrument('c', 'c.day') }}
where {{ in_window('c.day', window, margin=144) }}
window
    asset as (partition by c.day, c.base_asset order by c.instrument_id rows between unbounded preceding and unbounded following),
    today as (partition by c.day order by c.instrument_id rows between unbounded preceding and unbounded following),
    day_before as (partition by c.instrument_id order by c.day range between interval 1 day preceding and interval 1 day preceding),
    week as (partition by c.instrument_id order by c.day range between interval 6 day preceding and current row)
qualify {{ in_window('c.day', window) }}
