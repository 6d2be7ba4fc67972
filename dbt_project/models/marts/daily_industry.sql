{%- set segments = {'cex': 'kind', 'dex': 'kind', 'regulated': 'kind', 'united_states': 'region', 'offshore': 'region', 'onchain': 'region'} %}
with chained as (
    {{ chained_levels(ref('int_daily_industry'), [], ['volume_usd', 'oi_usd']) }}
),

concentration as (
    select
        d.day,
        {%- for measure in ('volume', 'oi') %}
        count(d.{{ measure }}_usd) as {{ 'venues' if measure == 'volume' else 'oi_venues' }},
        {%- set share = 'd.' ~ measure ~ '_share' %}
        {{ sum_of(share ~ ' * ' ~ share) }} as hhi_{{ measure }},
        max(d.{{ measure }}_share) as top1_{{ measure }}_share,
        list_sum(list(d.{{ measure }}_share order by d.{{ measure }}_share desc, d.venue) filter (d.{{ measure }}_share is not null)[:3]) as top3_{{ measure }}_share,
        {%- for segment, column in segments.items() %}
        -- zero where no venue is of this kind; null where none of its venues has a number, or the total is unknown
        case when count(d.{{ measure }}_share) > 0
            and (count(*) filter (v.{{ column }} = '{{ segment }}') = 0 or count(d.{{ measure }}_share) filter (v.{{ column }} = '{{ segment }}') > 0)
            then coalesce({{ sum_of(share, 'v.' ~ column ~ " = '" ~ segment ~ "'") }}, 0) end as {{ segment }}_{{ measure }}_share,
        {%- endfor %}
        {%- endfor %}
        coalesce({{ sum_of('d.volume_share', 'd.suspect_volume_reason is not null') }}, case when count(d.volume_share) > 0 then 0 end) as suspect_volume_share
    from {{ ref('daily_venues') }} as d
    inner join {{ ref('dim_venues') }} as v using (venue)
    group by all
),

-- Reports of an authority on regulated futures that were published by the end of the day.
reports as (
    select
        r.day as as_of,
        max(r.known_at) as known_at,
        {{ sum_of("case r.unit when 'usd' then r.value else r.value * m.close end") }} as oi_usd
    from {{ ref('fct_references') }} as r
    inner join {{ ref('dim_venues') }} as v using (venue)
    left join {{ ref('daily_assets') }} as m on r.base_asset = m.asset and r.day = m.day
    where r.is_self_reported and v.kind = 'regulated' and r.metric = 'open_interest'
        and (r.unit = 'usd' or r.base_asset in (select asset from {{ ref('daily_assets') }}))
    group by all
    -- a report with a contract without a price that day is left out: its sum would be too low
    having count(case r.unit when 'usd' then r.value else r.value * m.close end) = count(*)
),

futures as (
    select t.day, arg_max(r.oi_usd, r.as_of) as oi_usd, max(r.as_of) as as_of
    from {{ ref('int_daily_industry') }} as t
    inner join reports as r on r.known_at < t.day + interval 1 day and r.as_of > t.day - 10
    group by all
),

reported as (  -- the day's last snapshot of a source with the volume of spot and of perpetuals
    select
        day,
        {{ sum_of('value', "metric = 'volume' and symbol is not null") }} as perp_volume_usd,
        max(value) filter (metric = 'spot_volume') as spot_volume_usd
    from {{ ref('fct_references') }}
    where (metric = 'volume' and symbol is not null) or (metric = 'spot_volume' and base_asset is null)
    group by day, source, period_end
    having count(*) filter (metric = 'spot_volume') > 0
    qualify row_number() over (partition by day order by period_end desc, source) = 1
)

select
    t.day,
    t.volume_usd,
    l.volume_usd_chained,
    t.oi_usd,
    l.oi_usd_chained,
    t.funding_8h,
    t.funding_weighting,
    t.funding_8h_equal,
    t.funding_weight_known,
    t.liq_long_usd,
    t.liq_short_usd,
    c.venues,
    c.oi_venues,
    c.hhi_volume,
    c.top1_volume_share,
    c.top3_volume_share,
    c.hhi_oi,
    c.top1_oi_share,
    c.top3_oi_share,
    {%- for segment in segments %}
    c.{{ segment }}_volume_share,
    c.{{ segment }}_oi_share,
    {%- endfor %}
    c.suspect_volume_share,
    f.oi_usd as futures_oi_usd,
    f.as_of as futures_as_of,
    (coalesce(c.regulated_oi_share, 0) * t.oi_usd + f.oi_usd) / (t.oi_usd + f.oi_usd) as regulated_oi_share_with_futures,
    o.perp_volume_usd as perp_volume_reported_usd,
    o.spot_volume_usd as spot_volume_reported_usd,
    o.perp_volume_usd / (o.perp_volume_usd + o.spot_volume_usd) as perp_share_of_volume,
    t.coverage_price,
    t.coverage_funding,
    t.coverage_oi,
    t.coverage_liquidations,
    t.coverage_liquidations_listed,
    {{ trust('t.volume_usd', 't.coverage_price', 'bars', notes=[
        "case when c.suspect_volume_share > 0 then 'suspect: ' || ceil(1000 * c.suspect_volume_share) / 1000 || ' of it' end",
        in_progress('t.day')
    ]) }} as volume_trust,
    {{ trust('t.oi_usd', 't.coverage_oi', 'hours', notes=[in_progress('t.day')]) }} as oi_trust,
    {{ trust(
        't.funding_8h', 't.coverage_funding', 'settlements', notes=[estimated_weights('t.funding_weight_known'), in_progress('t.day', true)]
    ) }} as funding_trust,
    {{ trust(
        't.liq_long_usd', 't.coverage_liquidations', 'lists complete', notes=[share_listed('t'), in_progress('t.day')], class='lower bound'
    ) }} as liquidations_trust
from {{ ref('int_daily_industry') }} as t
left join chained as l using (day)
inner join concentration as c using (day)
left join futures as f using (day)
left join reported as o using (day)
