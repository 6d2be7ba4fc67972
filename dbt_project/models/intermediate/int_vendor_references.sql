{%- set vendors = [] %}
{%- for name, row in var('sources').items() if row.get('named_in') == 'vendor_venues' %}{% do vendors.append("'" ~ name ~ "'") %}{% endfor %}
-- Data vendors' numbers by day and instrument, to compare with the venue's own rows: the volume of whole days, and open interest at the
-- day's end at the day's last price. Only numbers in coins are converted to US dollars.
with days as (
    select
        source,
        venue,
        instrument_id,
        symbol,
        date_trunc('day', opened_at) as day,
        arg_max(close, opened_at) as price,
        {{ sum_of('raw_volume') }} as volume,
        {{ sum_of('raw_volume * (high + low + close) / 3') }} as volume_usd,
        max(_observed_at) as _observed_at
    from {{ ref('int_candles') }}
    where source in ({{ vendors | join(', ') }}) and raw_volume_unit = 'listed_base'
    group by all
    having count(*) = 24
),

numbers as (
    select source, venue, instrument_id, symbol, day, _observed_at, price, 'volume' as metric, volume as raw_value, volume_usd as value
    from days
    union all
    select
        o.source, o.venue, o.instrument_id, o.symbol, d.day, o._observed_at, d.price, 'open_interest', o.raw_value, o.one_sided * d.price
    from {{ ref('int_open_interest') }} as o
    inner join days as d on o.source = d.source and o.instrument_id = d.instrument_id and o.observed_at = d.day + interval 1 day
    where o.source in ({{ vendors | join(', ') }}) and o.raw_unit = 'listed_base'
)

select
    n.source,
    n.metric,
    n.venue as covers,
    n.symbol,
    i.listed_asset,
    n.day + case n.metric when 'open_interest' then interval 1 day else interval 0 day end as period_start,
    n.day + interval 1 day as period_end,
    n.raw_value,
    'listed_base' as raw_unit,
    n.value,
    n.price,
    n._observed_at
from numbers as n
left join (
    select source, instrument_id, any_value(listed_asset) as listed_asset
    from {{ ref('int_instruments') }}
    where source in ({{ vendors | join(', ') }})
    group by all
) as i using (source, instrument_id)
