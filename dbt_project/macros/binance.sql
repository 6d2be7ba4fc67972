{# What the staging of Binance's USD-M and COIN-M contracts has in common; `of` is the source. #}

{% macro binance_instruments(of, status, contract_size) -%}
with intervals as (  -- the list of funding intervals nearest in time to each list of instruments, within half an hour
    select i._observed_at as listed, f._observed_at as observed
    from (select distinct _observed_at from {{ source(of, 'instruments') }}) as i
    inner join (select distinct _observed_at from {{ source(of, 'funding_info') }}) as f
        on f._observed_at between i._observed_at - interval 30 minute and i._observed_at + interval 30 minute
    qualify row_number() over (partition by i._observed_at order by abs(epoch_us(f._observed_at) - epoch_us(i._observed_at)), f._observed_at) = 1
)

select
    i.symbol,
    i.base_asset as listed_asset,
    {{ base_asset('i.base_asset', 'i._observed_at') }} as base_asset,
    {{ multiplier('i.base_asset') }} as multiplier,
    i.quote_asset,
    i.margin_asset as settle_asset,
    {{ contract_type('i.base_asset', 'i.quote_asset', 'i.margin_asset') }} as contract_type,
    {{ contract_size }} as contract_size,
    case
        when i.contract_type <> 'TRADIFI_PERPETUAL' then 'crypto'
        when i.underlying_type like '%EQUITY%' then 'equity'
        when i.underlying_type like '%COMMODITY%' then 'commodity'
        when i.underlying_type like '%FOREX%' then 'forex'
        else 'other'
    end as underlying_class,
    -- funding_info lists only what differs from 8 hours
    (case when t.observed is not null then coalesce(f.funding_interval_hours, 8) end)::double as funding_interval_hours,
    case
        when {{ status }} = 'TRADING' then 'trading'
        when {{ status }} in ('SETTLING', 'CLOSE', 'DELIVERING', 'DELIVERED') then 'delisted'
        else 'halted'
    end as status,
    {{ from_ms('i.onboard_date') }} as listed_at,
    -- 2100-12-25 stands for «never»
    {{ from_ms("nullif(i.delivery_date, 4133404800000)") }} as delisted_at,
    i._observed_at as observed_at
from {{ source(of, 'instruments') }} as i
left join intervals as t on i._observed_at = t.listed
left join {{ source(of, 'funding_info') }} as f on t.observed = f._observed_at and i.symbol = f.symbol
where i.contract_type in ('PERPETUAL', 'TRADIFI_PERPETUAL', 'PERPETUAL DELIVERING')
{%- endmacro %}

{# `Special` rows stand beside a regular settlement at the same time; they stay in raw. #}
{% macro binance_funding_rates(of) -%}
select
    symbol,
    funding_time as raw_ms,
    {{ from_ms('funding_time') }} as stamp,
    {{ on_grid('funding_time') }} as settled_at,
    funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    funding_rate as rate_interval,
    mark_price,
    _observed_at as loaded_at
from {{ source(of, 'funding_rates') }}
where rate_type <> 'Special'
{%- endmacro %}

{# Dated contracts stand in the same list, without a rate. #}
{% macro binance_running_rates(of) -%}
select
    p.symbol,
    p._observed_at as observed_at,
    p.last_funding_rate as raw_rate,
    'fraction_per_interval' as raw_unit,
    p.last_funding_rate as rate,
    {{ from_ms('nullif(p.next_funding_time, 0)') }} as next_settlement_at,
    p.mark_price,
    p.index_price
from {{ source(of, 'premium_index') }} as p
where p.last_funding_rate is not null
{%- endmacro %}

{% macro binance_open_interest_now(of, unit) -%}
select
    o.symbol,
    coalesce(o."time", epoch_ms(o._observed_at)) as raw_ms,
    {{ from_ms('raw_ms') }} as stamp,
    {{ hour_of('raw_ms') }} as observed_at,
    o.open_interest as raw_value,
    'openInterest' as raw_field,
    '{{ unit }}' as raw_unit,
    p.mark_price,
    true as is_snapshot,
    o._observed_at as loaded_at
from {{ source(of, 'open_interest_now') }} as o
left join {{ source(of, 'premium_index') }} as p using (symbol, _observed_at)
where o.open_interest > 0
{%- endmacro %}

{# `unit` is that of the volume; `eighth` names the eighth column of a bar: `quote_volume` or `base_volume`. #}
{% macro binance_candles(of, unit, eighth) -%}
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
    c.{{ eighth }},
    c.trades,
    m.close as mark_close,
    x.close as index_close,
    c._observed_at as loaded_at
from {{ source(of, 'candles') }} as c
left join {{ source(of, 'mark_candles') }} as m using (symbol, open_time)
left join {{ source(of, 'index_candles') }} as x using (symbol, open_time)
{%- endmacro %}
