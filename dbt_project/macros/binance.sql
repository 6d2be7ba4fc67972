{#
  The staging models of Binance's USD-M and COIN-M contracts. `status` and `contract_size` are SQL expressions over the raw row `i`,
  `unit` is the unit of volume and open interest.
#}

{% macro binance_instruments(source_name, status, contract_size) -%}
with intervals as (  -- for each list of instruments the nearest list of funding intervals, at most 30 minutes apart
    select i._observed_at as listed, f._observed_at as observed
    from (select distinct _observed_at from {{ source(source_name, 'instruments') }}) as i
    inner join (select distinct _observed_at from {{ source(source_name, 'funding_info') }}) as f
        on f._observed_at between i._observed_at - interval 30 minute and i._observed_at + interval 30 minute
    qualify row_number() over (partition by i._observed_at order by abs(epoch_us(f._observed_at) - epoch_us(i._observed_at)), f._observed_at) = 1
)

select
    i.symbol,
    i.base_asset as listed_asset,
    i.quote_asset,
    i.margin_asset as settle_asset,
    {{ contract_size }} as contract_size,
    case
        when i.contract_type <> 'TRADIFI_PERPETUAL' then 'crypto'
        when i.underlying_type like '%EQUITY%' then 'equity'
        when i.underlying_type like '%COMMODITY%' then 'commodity'
        when i.underlying_type in ('FX', 'FOREX') then 'forex'
        else 'other'
    end as underlying_class,
    -- funding_info lists only instruments whose interval is not 8 hours
    (case when t.observed is not null then coalesce(f.funding_interval_hours, 8) end)::double as funding_interval_hours,
    case
        when {{ status }} = 'TRADING' then 'trading'
        when {{ status }} in ('SETTLING', 'CLOSE', 'DELIVERING', 'DELIVERED') then 'delisted'
        else 'halted'
    end as status,
    {{ from_ms('i.onboard_date') }} as listed_at,
    -- 2100-12-25 means that no delivery is planned
    {{ from_ms("nullif(i.delivery_date, 4133404800000)") }} as delisted_at,
    i._observed_at as observed_at
from {{ source(source_name, 'instruments') }} as i
left join intervals as t on i._observed_at = t.listed
left join {{ source(source_name, 'funding_info') }} as f on t.observed = f._observed_at and i.symbol = f.symbol
where i.contract_type in ('PERPETUAL', 'TRADIFI_PERPETUAL', 'PERPETUAL DELIVERING')
{%- endmacro %}

{# `Special` rows duplicate the time of a regular settlement and are left out. #}
{% macro binance_funding_rates(source_name) -%}
select
    symbol,
    funding_time as raw_ms,
    funding_rate as raw_rate,
    mark_price,
    _observed_at
from {{ source(source_name, 'funding_rates') }}
where rate_type <> 'Special'
{%- endmacro %}

{% macro binance_archive_funding_rates(source_name) -%}
select
    symbol,
    funding_time as raw_ms,
    funding_rate as raw_rate,
    funding_interval_hours as stated_interval_hours,
    _observed_at
from {{ source(source_name, 'funding_rates') }}
{%- endmacro %}

{#
  Of the points each five minutes those of a full hour, or five minutes after it, of which the first counts: no point stands for one that is
  missing. `value` is the raw column with the venue's own value in US dollars, if any. Zero is what the archive has where it had nothing.
#}
{% macro binance_archive_open_interest(source_name, unit, value=none) -%}
select
    symbol,
    create_time as raw_ms,
    nullif(sum_open_interest, 0) as raw_value,
    'sumOpenInterest' as raw_field,
    '{{ unit }}' as raw_unit,
    {%- if value %}
    nullif({{ value }}, 0) as venue_usd,
    {%- endif %}
    _observed_at
from {{ source(source_name, 'open_interest') }}
where create_time % 3600000 < 600000
{%- endmacro %}

{# The list also has dated contracts, which have no rate. #}
{% macro binance_running_rates(source_name) -%}
select
    p.symbol,
    p._observed_at as observed_at,
    p.last_funding_rate as raw_rate,
    {{ from_ms('nullif(p.next_funding_time, 0)') }} as next_settlement_at,
    p.mark_price,
    p.index_price
from {{ source(source_name, 'premium_index') }} as p
where p.last_funding_rate is not null
{%- endmacro %}

{% macro binance_open_interest_now(source_name, unit) -%}
select
    o.symbol,
    o."time" as raw_ms,
    o.open_interest as raw_value,
    'openInterest' as raw_field,
    '{{ unit }}' as raw_unit,
    p.mark_price,
    o._observed_at
from {{ source(source_name, 'open_interest_now') }} as o
left join {{ source(source_name, 'premium_index') }} as p using (symbol, _observed_at)
where o.open_interest > 0
{%- endmacro %}

{# `turnover` is the raw column beside the volume: `quote_volume` or `base_volume`. #}
{% macro binance_candles(source_name, unit, turnover) -%}
select
    c.symbol,
    c.open_time as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    '{{ unit }}' as raw_volume_unit,
    c.{{ turnover }},
    c.trades,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at
from {{ source(source_name, 'candles') }} as c
{{ join_price_bars(source_name=source_name, time='open_time') }}
{%- endmacro %}

{# The stream gives no name to an event: what makes it one, and its number among the equals of its frame. #}
{% macro binance_liquidations(source_name, unit, table='liquidations_stream', nth='nullif(nth, 0)') -%}
select
    symbol,
    concat_ws(':', trade_time, side, average_price, filled, {{ nth }}) as event_id,
    trade_time as raw_ms,
    side as raw_side,
    average_price as price,
    filled as raw_size,
    '{{ unit }}' as raw_unit,
    _observed_at
from {{ source(source_name, table) }}
where status = 'FILLED'
{%- endmacro %}
