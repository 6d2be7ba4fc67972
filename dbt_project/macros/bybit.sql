{# What the staging of Bybit's categories has in common; `of` is the source, `unit` that of volume and open interest. #}

{% macro bybit_instruments(of, perpetual) -%}
select
    symbol,
    base_coin as listed_asset,
    {{ base_asset('base_coin') }} as base_asset,
    {{ multiplier('base_coin') }} as multiplier,
    quote_coin as quote_asset,
    settle_coin as settle_asset,
    {{ contract_type('base_coin', 'quote_coin', 'settle_coin') }} as contract_type,
    1.0::double as contract_size,
    case symbol_type when 'stock' then 'equity' when 'commodity' then 'commodity' when 'forex' then 'forex' else 'crypto' end
        as underlying_class,
    funding_interval / 60 as funding_interval_hours,
    case status when 'Trading' then 'trading' when 'Closed' then 'delisted' else 'halted' end as status,
    {{ from_ms('nullif(launch_time, 0)') }} as listed_at,
    {{ from_ms('nullif(delivery_time, 0)') }} as delisted_at,
    _observed_at as observed_at
from {{ source(of, 'instruments') }}
where contract_type = '{{ perpetual }}'
{%- endmacro %}

{% macro bybit_funding_rates(of) -%}
select
    symbol,
    funding_rate_timestamp as raw_ms,
    {{ from_ms('funding_rate_timestamp') }} as stamp,
    {{ on_grid('funding_rate_timestamp') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    _observed_at as loaded_at
from {{ source(of, 'funding_rates') }}
{%- endmacro %}

{% macro bybit_running_rates(of) -%}
select
    symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate,
    funding_interval_hour as interval_hours,
    {{ from_ms('nullif(next_funding_time, 0)') }} as next_settlement_at,
    mark_price,
    index_price
from {{ source(of, 'tickers') }}
where funding_rate is not null
{%- endmacro %}

{# `openInterest` counts both sides, `singleOpenInterest` (newer) one. #}
{% macro bybit_open_interest(of, unit) -%}
select
    symbol,
    "timestamp" as raw_ms,
    {{ from_ms('"timestamp"') }} as stamp,
    {{ hour_of('"timestamp"') }} as observed_at,
    coalesce(single_open_interest, open_interest) as raw_value,
    case when single_open_interest is null then 'openInterest' else 'singleOpenInterest' end as raw_field,
    '{{ unit }}' as raw_unit,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source(of, 'open_interest') }}
where coalesce(single_open_interest, open_interest) > 0
{%- endmacro %}

{% macro bybit_open_interest_now(of, unit) -%}
select
    symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    coalesce(single_open_interest, open_interest) as raw_value,
    case when single_open_interest is null then 'openInterest' else 'singleOpenInterest' end as raw_field,
    '{{ unit }}' as raw_unit,
    mark_price,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source(of, 'tickers') }}
where coalesce(single_open_interest, open_interest) > 0
{%- endmacro %}

{# `turnover` names what that is: `quote_volume` or `base_volume`. #}
{% macro bybit_candles(of, unit, turnover) -%}
select
    c.symbol,
    c.open_time as raw_ms,
    {{ from_ms('c.open_time') }} as opened_at,
    c.open,
    c.high,
    c.low,
    c.close,
    c.volume as raw_volume,
    '{{ unit }}' as raw_volume_unit,
    c.turnover as {{ turnover }},
    m.close as mark_close,
    x.close as index_close,
    c._observed_at as loaded_at
from {{ source(of, 'candles') }} as c
left join {{ source(of, 'mark_candles') }} as m using (symbol, open_time)
left join {{ source(of, 'index_candles') }} as x using (symbol, open_time)
{%- endmacro %}
