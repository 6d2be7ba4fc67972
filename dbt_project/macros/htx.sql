{# What the staging of HTX's two kinds of swap has in common; `of` is the source. #}

{% macro htx_instruments(of, quote, settle) -%}
{#- The day of listing is of the venue's own calendar, UTC+8. -#}
select
    contract_code as symbol,
    symbol as listed_asset,
    {{ base_asset('symbol') }} as base_asset,
    {{ multiplier('symbol') }} as multiplier,
    '{{ quote }}' as quote_asset,
    {{ settle }} as settle_asset,
    {{ contract_type('symbol', "'" ~ quote ~ "'", settle) }} as contract_type,
    nullif(contract_size, 0) as contract_size,
    'crypto' as underlying_class,
    case when contract_status = 1 then 'trading' when contract_status in (0, 7, 8) then 'delisted' else 'halted' end as status,
    try_strptime(create_date, '%Y%m%d') - interval 8 hour as listed_at,
    _observed_at as observed_at
from {{ source(of, 'instruments') }}
where business_type = 'swap'
{%- endmacro %}

{% macro htx_funding_rates(of) -%}
select
    contract_code as symbol,
    funding_time as raw_ms,
    {{ from_ms('funding_time') }} as stamp,
    {{ on_grid('funding_time') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    _observed_at as loaded_at
from {{ source(of, 'funding_rates') }}
{%- endmacro %}

{% macro htx_running_rates(of) -%}
select
    contract_code as symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate,
    {{ from_ms('funding_time') }} as next_settlement_at
from {{ source(of, 'running_rates') }}
where funding_rate is not null
{%- endmacro %}

{# The latest points; their sides are told otherwise than those of the look at now, so they have another name. #}
{% macro htx_open_interest(of) -%}
select
    symbol,
    ts as raw_ms,
    {{ from_ms('ts') }} as stamp,
    {{ hour_of('ts') }} as observed_at,
    volume as raw_value,
    'tick.volume' as raw_field,
    'contracts' as raw_unit,
    false as is_snapshot,
    _observed_at as loaded_at
from {{ source(of, 'open_interest') }}
where volume > 0
{%- endmacro %}

{% macro htx_open_interest_now(of) -%}
select
    contract_code as symbol,
    epoch_ms(_observed_at) as raw_ms,
    _observed_at as stamp,
    date_trunc('hour', _observed_at) as observed_at,
    volume as raw_value,
    'volume' as raw_field,
    'contracts' as raw_unit,
    true as is_snapshot,
    _observed_at as loaded_at
from {{ source(of, 'open_interest_now') }}
where business_type = 'swap' and volume > 0
{%- endmacro %}

{% macro htx_candles(of) -%}
select
    c.symbol,
    c."time" as raw_ms,
    {{ from_ms('c."time"') }} as opened_at,
    c.open,
    c.high,
    c.low,
    c.close,
    c.vol as raw_volume,
    'contracts' as raw_volume_unit,
    c.amount as base_volume,
    c.trade_turnover as quote_volume,
    m.close as mark_close,
    c._observed_at as loaded_at
from {{ source(of, 'candles') }} as c
left join {{ source(of, 'mark_candles') }} as m using (symbol, "time")
{%- endmacro %}

{% macro htx_liquidations(of) -%}
select
    contract_code as symbol,
    query_id::varchar as event_id,
    created_at as raw_ms,
    {{ from_ms('created_at') }} as liquidated_at,
    lower(direction) as raw_side,
    price,
    amount as raw_size,
    'listed_base' as raw_unit,
    _observed_at as loaded_at
from {{ source(of, 'liquidations') }}
{%- endmacro %}
