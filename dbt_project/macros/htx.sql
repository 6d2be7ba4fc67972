{# The staging models of HTX's linear and coin-margined swaps. #}

{% macro htx_instruments(source_name, quote, settle) -%}
{#- The listing day is a day in UTC+8. -#}
select
    contract_code as symbol,
    symbol as listed_asset,
    '{{ quote }}' as quote_asset,
    {{ settle }} as settle_asset,
    nullif(contract_size, 0) as contract_size,
    case when coalesce(tradfi_labels, '') = '' then 'crypto' else coalesce({{ class_by_labels('tradfi_labels') }}, 'other') end as underlying_class,
    settlement_period as funding_interval_hours,
    case when contract_status = 1 then 'trading' when contract_status in (0, 7, 8) then 'delisted' else 'halted' end as status,
    try_strptime(create_date, '%Y%m%d') - interval 8 hour as listed_at,
    _observed_at as observed_at
from {{ source(source_name, 'instruments') }}
where business_type = 'swap'
{%- endmacro %}

{% macro htx_funding_rates(source_name) -%}
select
    contract_code as symbol,
    funding_time as raw_ms,
    funding_rate as raw_rate,
    _observed_at
from {{ source(source_name, 'funding_rates') }}
{%- endmacro %}

{% macro htx_running_rates(source_name) -%}
select
    contract_code as symbol,
    _observed_at as observed_at,
    funding_rate as raw_rate,
    (next_funding_time - funding_time) / 3600000 as interval_hours,
    {{ from_ms('funding_time') }} as next_settlement_at
from {{ source(source_name, 'running_rates') }}
where funding_rate is not null
{%- endmacro %}

{# The documentation counts the sides of the history differently from those of the current value: `raw_field` tells them apart. #}
{% macro htx_open_interest(source_name) -%}
select
    symbol,
    ts as raw_ms,
    volume as raw_value,
    'tick.volume' as raw_field,
    'contracts' as raw_unit,
    _observed_at
from {{ source(source_name, 'open_interest') }}
where volume > 0
{%- endmacro %}

{% macro htx_open_interest_now(source_name) -%}
select
    contract_code as symbol,
    volume as raw_value,
    'volume' as raw_field,
    'contracts' as raw_unit,
    _observed_at
from {{ source(source_name, 'open_interest_now') }}
where volume > 0
{%- endmacro %}

{# `unit` is what `size` counts. Rows of the stream have no id: what makes an event one, and its number among equals. #}
{% macro htx_liquidations(source_name, size, unit) -%}
select
    contract_code as symbol,
    concat_ws(':', created_at, direction, price, volume, nullif(row_number() over alike - 1, 0)) as event_id,
    created_at as raw_ms,
    direction as raw_side,
    price,
    {{ size }} as raw_size,
    '{{ unit }}' as raw_unit,
    '' as heard_as,
    _observed_at
from {{ source(source_name, 'liquidations') }}
window alike as (partition by contract_code, created_at, direction, price, volume order by query_id)
union all
select
    contract_code as symbol,
    concat_ws(':', created_at, direction, price, volume, nullif(nth, 0)) as event_id,
    created_at as raw_ms,
    direction as raw_side,
    price,
    {{ size }} as raw_size,
    '{{ unit }}' as raw_unit,
    null as heard_as,
    _observed_at
from {{ source(source_name, 'liquidations_stream') }}
{%- endmacro %}
