with intervals as (  -- the list of funding intervals nearest in time to each list of instruments, within half an hour
    select i._observed_at as listed, f._observed_at as observed
    from (select distinct _observed_at from {{ source('binance_usdm', 'instruments') }}) as i
    inner join (select distinct _observed_at from {{ source('binance_usdm', 'funding_info') }}) as f
        on f._observed_at between i._observed_at - interval 30 minute and i._observed_at + interval 30 minute
    qualify row_number() over (partition by i._observed_at order by abs(epoch_us(f._observed_at) - epoch_us(i._observed_at)), f._observed_at) = 1
)

select
    i.symbol,
    i.base_asset as listed_asset,
    {{ base_asset('i.base_asset') }} as base_asset,
    {{ multiplier('i.base_asset') }} as multiplier,
    i.quote_asset,
    i.margin_asset as settle_asset,
    {{ contract_type('i.base_asset', 'i.quote_asset', 'i.margin_asset') }} as contract_type,
    1.0::double as contract_size,
    case
        when i.contract_type = 'PERPETUAL' then 'crypto'
        when i.underlying_type like '%EQUITY%' then 'equity'
        when i.underlying_type like '%COMMODITY%' then 'commodity'
        when i.underlying_type like '%FOREX%' then 'forex'
        else 'other'
    end as underlying_class,
    -- funding_info lists only what differs from 8 hours
    (case when t.observed is not null then coalesce(f.funding_interval_hours, 8) end)::double as funding_interval_hours,
    case i.status when 'TRADING' then 'trading' when 'SETTLING' then 'delisted' when 'CLOSE' then 'delisted' else 'halted' end as status,
    {{ from_ms('i.onboard_date') }} as listed_at,
    -- 2100-12-25 stands for «never»
    {{ from_ms("nullif(i.delivery_date, 4133404800000)") }} as delisted_at,
    i._observed_at as observed_at
from {{ source('binance_usdm', 'instruments') }} as i
left join intervals as t on i._observed_at = t.listed
left join {{ source('binance_usdm', 'funding_info') }} as f on t.observed = f._observed_at and i.symbol = f.symbol
where i.contract_type in ('PERPETUAL', 'TRADIFI_PERPETUAL')
