with doubtful as (
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
    {%- for measure in ('volume', 'oi') %}
    case when coalesce({{ measure }}_absent < {{ var('large_venue') }} * sum(d.{{ measure }}_usd) over today, true)
        then d.{{ measure }}_usd / nullif(sum(d.{{ measure }}_usd) over today, 0) end as {{ measure }}_share,
    {%- endfor %}
    d.funding_8h,
    d.funding_weighting,
    d.funding_8h_equal,
    d.funding_weight_known,
    d.turnover,
    nullif(concat_ws('; ',
        case when d.turnover > {{ var('highest_turnover') }} then 'a day''s volume above {{ var('highest_turnover') }} times the open interest' end,
        'the venue''s own figures are in doubt: ' || f.evidence
    ), '') as suspect_volume_reason,
    d.instruments,
    d.coverage_price,
    d.coverage_funding,
    d.coverage_oi,
    d.coverage_liquidations,
    d.coverage_liquidations_listed,
    {{ trust('d.volume_usd', 'd.coverage_price', 'bars', notes=["'suspect: ' || suspect_volume_reason", in_progress('d.day')]) }} as volume_trust,
    {{ trust('d.oi_usd', 'd.coverage_oi', 'hours', notes=[in_progress('d.day')]) }} as oi_trust,
    {{ trust(
        'd.funding_8h', 'd.coverage_funding', 'settlements', notes=[estimated_weights('d.funding_weight_known'), in_progress('d.day', true)]
    ) }} as funding_trust
from (
    select
        *
        {%- for measure in ('volume', 'oi') %},
        -- the largest of the venues without a number today, by the median of its own days
        max(case when {{ measure }}_usd is null then {{ measure }}_typical end) over (partition by day) as {{ measure }}_absent
        {%- endfor %}
    from (
        select
            *
            {%- for measure in ('volume', 'oi') %},
            median({{ measure }}_usd) over (partition by venue) as {{ measure }}_typical
            {%- endfor %}
        from {{ ref('int_daily_venues') }}
    )
) as d
left join doubtful as f using (venue)
window today as (partition by d.day order by d.venue rows between unbounded preceding and unbounded following)
