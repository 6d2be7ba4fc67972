{# Gate's list of contracts: those that trade, or all there were. #}
{% macro gate_instruments(source_name) -%}
-- Coin and quote are only in the name, `<coin>_<quote>`. The values of `contract_type` are not documented: an instrument with one is not
-- counted as crypto.
select
    name as symbol,
    split_part(name, '_', 1) as listed_asset,
    split_part(name, '_', 2) as quote_asset,
    'USDT' as settle_asset,
    nullif(quanto_multiplier, 0) as contract_size,
    case when coalesce(contract_type, '') = '' then 'crypto' else 'other' end as underlying_class,
    funding_interval / 3600 as funding_interval_hours,
    case
        when status = 'delisted' or delisted_time > 0 and delisted_time <= epoch(_observed_at) then 'delisted'
        when in_delisting or coalesce(status, 'trading') <> 'trading' then 'halted'
        else 'trading'
    end as status,
    {{ from_ms('coalesce(nullif(launch_time, 0), nullif(create_time, 0)) * 1000') }} as listed_at,
    {{ from_ms('nullif(delisted_time, 0) * 1000') }} as delisted_at,
    _observed_at as observed_at
from {{ source(source_name, 'instruments') }}
where type = 'direct'
{%- endmacro %}
