with days as (
    select
        day,
        venue,
        {{ sum_of('volume_usd') }} as volume_usd,
        {{ sum_of('oi_usd') }} as oi_usd,
        {{ weighted_funding() }} as funding_8h,
        {{ funding_weighting() }} as funding_weighting,
        -- over the instruments where both are known
        sum(volume_usd order by instrument_id) filter (oi_usd > 0) / sum(oi_usd order by instrument_id) filter (volume_usd is not null) as turnover,
        count(*) as instruments
    from {{ ref('int_daily') }}
    group by all
),

doubtful as (
    select venue, max(evidence) as evidence
    from {{ ref('dim_venue_facts') }}
    where fact = 'volume_reliability' and value = 'doubtful'
    group by all
)

select
    d.day,
    d.venue,
    d.volume_usd,
    d.oi_usd,
    d.volume_usd / sum(d.volume_usd) over today as volume_share,
    d.oi_usd / sum(d.oi_usd) over today as oi_share,
    d.funding_8h,
    d.funding_weighting,
    d.turnover,
    nullif(concat_ws('; ',
        case when d.turnover > {{ var('highest_turnover') }} then 'a day''s volume above {{ var('highest_turnover') }} times the open interest' end,
        'the venue''s own figures are in doubt: ' || f.evidence
    ), '') as suspect_volume_reason,
    d.instruments,
    c.coverage_price,
    c.coverage_funding,
    c.coverage_oi,
    c.coverage_liquidations
from days as d
left join ({{ coverage_by('day, venue') }}) as c using (day, venue)
left join doubtful as f using (venue)
window today as (partition by d.day order by d.venue rows between unbounded preceding and unbounded following)
