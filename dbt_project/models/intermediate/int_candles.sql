-- The four prices of a bar are null together where one of them can't be, or the close isn't between the low and the high. An open outside
-- of them alone is the last price of the bar before at some venues, and is left out.
with bars as (
    select
        *,
        {{ from_ms('raw_ms') }} as opened_at,
        coalesce(high < low or close > high or close < low, false) as is_torn,
        is_torn or coalesce(regexp_matches(nulled, '\b(open|high|low|close) '), false) as is_bad,
        coalesce(open > high or open < low, false) as opens_outside
    from ({{ union_staged('candles') }})
)

select
    * exclude (is_torn, is_bad, opens_outside) replace (
        case when not is_bad and not opens_outside then open end as open,
        case when not is_bad then high end as high,
        case when not is_bad then low end as low,
        case when not is_bad then close end as close,
        nullif(concat_ws('; ', nulled,
            case when is_torn then 'low ' || low || ', high ' || high || ', close ' || close
                when opens_outside and not is_bad then 'open ' || open || ' outside of low and high' end), '') as nulled
    )
from bars
