{# The staging models of Bybit's linear and inverse perpetuals; `unit` is the unit of volume and open interest. #}

{% macro bybit_instruments(source_name, contract_type) -%}
select
    symbol,
    base_coin as listed_asset,
    quote_coin as quote_asset,
    settle_coin as settle_asset,
    1.0::double as contract_size,
    case symbol_type when 'stock' then 'equity' when 'commodity' then 'commodity' when 'forex' then 'forex' else 'crypto' end
        as underlying_class,
    funding_interval / 60 as funding_interval_hours,
    case status when 'Trading' then 'trading' when 'Closed' then 'delisted' else 'halted' end as status,
    {{ from_ms('nullif(launch_time, 0)') }} as listed_at,
    {{ from_ms('nullif(delivery_time, 0)') }} as delisted_at,
    _observed_at as observed_at
from {{ source(source_name, 'instruments') }}
where contract_type = '{{ contract_type }}'
{%- endmacro %}

{% macro bybit_funding_rates(source_name) -%}
select
    symbol,
    funding_rate_timestamp as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source(source_name, 'funding_rates') }}
{%- endmacro %}

{% macro bybit_running_rates(source_name) -%}
select
    symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    funding_interval_hour as interval_hours,
    {{ from_ms('nullif(next_funding_time, 0)') }} as next_settlement_at,
    mark_price,
    index_price
from {{ source(source_name, 'tickers') }}
where funding_rate is not null
{%- endmacro %}

{# `openInterest` counts both sides, `singleOpenInterest` (newer) one side. #}
{% macro bybit_open_interest(source_name, unit) -%}
select
    symbol,
    "timestamp" as raw_ms,
    coalesce(single_open_interest, open_interest) as raw_value,
    case when single_open_interest is null then 'openInterest' else 'singleOpenInterest' end as raw_field,
    '{{ unit }}' as raw_unit,
    _observed_at
from {{ source(source_name, 'open_interest') }}
where coalesce(single_open_interest, open_interest) > 0
{%- endmacro %}

{% macro bybit_open_interest_now(source_name, unit) -%}
select
    symbol,
    coalesce(single_open_interest, open_interest) as raw_value,
    case when single_open_interest is null then 'openInterest' else 'singleOpenInterest' end as raw_field,
    '{{ unit }}' as raw_unit,
    mark_price,
    _observed_at
from {{ source(source_name, 'tickers') }}
where coalesce(single_open_interest, open_interest) > 0 and funding_rate is not null  -- dated contracts stand there, too
{%- endmacro %}

{# `turnover` is the canonical name of the venue's turnover: `quote_volume` or `base_volume`. #}
{% macro bybit_candles(source_name, unit, turnover) -%}
select
    c.symbol,
    c.open_time as raw_ms,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    '{{ unit }}' as raw_volume_unit,
    c.turnover as {{ turnover }},
    m.close as mark_close,
    x.close as index_close,
    c._observed_at
from {{ source(source_name, 'candles') }} as c
{{ join_price_bars(source_name=source_name, time='open_time') }}
{%- endmacro %}

{# The stream gives no name to an event: what makes it one, and its number among the equals of its frame. #}
{% macro bybit_liquidations(source_name, unit) -%}
select
    symbol,
    concat_ws(':', "time", side, price, size, nullif(nth, 0)) as event_id,
    "time" as raw_ms,
    side as raw_side,
    price,
    size as raw_size,
    '{{ unit }}' as raw_unit,
    _observed_at
from {{ source(source_name, 'liquidations_stream') }}
{%- endmacro %}
