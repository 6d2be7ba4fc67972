"""The checks across venues, with thresholds, and why each one blocks or warns. Keys, ranges and values are dbt's data tests.

A check blocks where a failure can only be an error of this project (a stale sum, a broken promise of the schema). A series that
can't be right is set apart by dbt (`series_faults`) while the rest is published, and a check names it. The others warn: markets,
venues or missing data can cause the same, and the reader decides. Every query reads only marts and `meta.scope`, groups its rows
by instrument where one fault makes many rows, and orders the worst first.

The thresholds leave room around ten months of real data (four venues, five coins, with the crash of 10 October 2025):
weekly medians of funding differed by at most 4.7 times between venues, daily closes by at most 0.4 %, and the daily rates
of a venue correlated by 0.27 or more with the others' median.
"""

from __future__ import annotations

import pandera.pandas as pa

from assets.defs.checks.factory import Check
from assets.regimes.schemas import LABELS
from pipelines.registry import closed_at, source_rows
from pipelines.windows import DAY


def _given() -> str:
    """As a SQL relation: the datasets that each source that lists instruments gives, and for how many days back (null: no limit).

    An archive is in scope for the source that it is one of, or for all of its venue's where it lists no instruments: there it
    gives its datasets too. A source of several venues gives whatever dataset the warehouse has any observation of.
    """
    rows = source_rows()
    given: list[str] = []
    for name, row in rows.items():
        lists = row.venue and "instruments" in row.datasets and not row.archive_of
        own = {n: r for n, r in rows.items() if r.archive_of == name}
        archives = {n: r for n, r in rows.items() if r.venue == row.venue and "instruments" not in r.datasets} | own
        for other, its in ({name: row} | archives).items() if lists else ():
            days = [(dataset, its.history.get(dataset, "null")) for dataset in its.datasets]
            given += [f"('{name}', '{dataset}', {most}::integer, '{other}:{row.venue}')" for dataset, most in days]
    several = ", ".join(f"'{name}'" for name, row in rows.items() if row.venue is None)
    return f"""(
    select source, dataset, case when count(*) = count(history_days) then max(history_days) end as history_days
    from (values {", ".join(given)}) as listed(source, dataset, history_days, pair)
    where split_part(pair, ':', 1) = source or pair in (select unnest(sources) from meta.scope)
    group by all
    union
    select source, dataset, null from marts.coverage_daily where seen > 0 and source in ({several})
) as given"""


def _closed() -> str:
    """As SQL: the start of the day on which `venue` closed, null while it is open: nothing is expected from then on."""
    days = {name: closed_at(name) for name in {row.venue for row in source_rows().values() if row.venue}}
    whens = " ".join(f"when '{name}' then make_timestamp({(end - DAY) * 1000})" for name, end in sorted(days.items()) if end)
    return f"case venue {whens} end" if whens else "null"


def _schema(asset: str, schema: pa.DataFrameSchema) -> Check:
    return Check(
        "schema", asset, schema, True,
        "Columns, types, ranges, keys and label values are those that readers are promised.",
        "a value outside of its range or a null where there may be none is an error in our models.",
    )  # fmt: skip


def _fresh(dataset: str, time: str, asset: str, hours: int, step: int = 0) -> Check:
    return Check(
        "freshness", asset, f"""
select source, latest, due, date_diff('hour', latest, due) as hours_behind
from (
    select split_part(pair, ':', 1) as source, split_part(pair, ':', 2) as venue, least(as_of, window_end, {_closed()}) as due
    from (select unnest(sources) as pair, as_of, window_end from meta.scope)
)
semi join (select * from {_given()} where dataset = '{dataset}') using (source)
left join (
    select i.source, i.venue, max({time}) + interval {step} hour as latest
    from {asset} as f
    inner join (select distinct source, venue, instrument_id from marts.dim_instruments) as i using (instrument_id)
    group by all
) using (source, venue)
where coalesce(due - latest > interval {hours} hour, true)
order by latest nulls first, source
""", False,
        f"The latest row of each source's instruments is at most {hours} hours older than the end of the requested window.",
        "a venue may be late, closed or unreachable; the rows that were loaded are right.",
    )  # fmt: skip


GAPS = Check(
    "gaps", "marts.coverage_daily", f"""
select source, dataset, count(*) as days, min(day) as first_day, max(day) as last_day,
    sum(expected - seen)::bigint as missing, sum(seen) / sum(expected) as coverage
from marts.coverage_daily
inner join {_given()} using (source, dataset)
cross join meta.scope
where coverage < 0.95
    and day + 1 <= least(as_of, window_end)
    and coalesce(day >= as_of - to_days(history_days), true)
group by source, dataset
order by missing desc
""", False,
    "Closed days have at least 95 % of the observations that a source still gives.",
    "missing data are null and counted, not wrong; `perps gaps` lists what can still be fetched, and until when.",
)  # fmt: skip

VOLUME_SUM = Check(
    "volume_sum", "marts.daily_instruments", """
select day, instrument_id, d.volume_base, h.volume_base as hourly_sum, d.volume_base / nullif(h.volume_base, 0) as ratio
from marts.daily_instruments as d
full join (
    select opened_at::date as day, instrument_id, sum(volume_base) as volume_base from marts.fct_candles group by all
) as h using (day, instrument_id)
where d.volume_base is distinct from h.volume_base
    and coalesce(abs(d.volume_base - h.volume_base) > 1e-9 * h.volume_base, true)
order by day
""", True,
    "A day's volume is the sum of its hours'.",
    "a daily row that isn't the sum of the present hours is stale or doubled.",
)  # fmt: skip

SET_APART = Check(
    "set_apart", "marts.series_faults", """
select
    case when count(*) > 1 then venue else any_value(instrument_id) end || ' ' || dataset || ': ' || kind || ': '
        || any_value(finding order by scope, observations desc, instrument_id)
        || ' (' || min(first_day) || ' to ' || max(last_day)
        || case when count(*) > 1 then ', ' || count(*) || ' instruments, such as '
            || any_value(instrument_id order by scope, observations desc, instrument_id) else '' end
        || '); left out of daily sums' as message,
    venue, dataset, kind, count(*) as instruments, min(first_day) as first_day, max(last_day) as last_day
from marts.series_faults
group by venue, dataset, kind
order by instruments desc, venue, dataset, kind
""", False,
    "No series is in another unit, shifted in time, of another granularity, repeated, of swapped sides or at odds with itself.",
    "what can't be right is left out of the daily sums from the first to the last day of the fault; the rest is published.",
)  # fmt: skip

CORRECTED = Check(
    "corrected", "marts.corrections", """
select source || ' ' || dataset || ': ' || corrected_values || ' values corrected, the last one ' || field || ' of ' || symbol
        || strftime(happened_at, ' at %Y-%m-%d %H:%M: ') || coalesce(first_value, 'absent') || ' became '
        || coalesce(last_value, 'absent') as message,
    source, dataset, field, corrected_values, first_at, happened_at as last_at
from (
    select *, count(*) over same as corrected_values, min(happened_at) over same as first_at
    from marts.corrections
    window same as (partition by source, dataset, field)
    qualify row_number() over (partition by source, dataset, field order by happened_at desc, symbol) = 1
)
order by corrected_values desc, source, dataset, field
""", False,
    "No source sent a value of the past again with another value.",
    "venues mend their history; the tables have the last value, and `marts.corrections` has the first one beside it.",
)  # fmt: skip

ARCHIVE_DIFFERS = Check(
    "archive_differs", "marts.archive_differences", """
select archive || ' and ' || source || ': ' || sum(differing) || ' numbers of ' || dataset || ' differ (' || field
        || '), such as that of ' || arg_min(instrument_id, first_at) || strftime(min(first_at), ' at %Y-%m-%d %H:%M: ')
        || arg_min(archive_value, first_at) || ' and ' || arg_min(value, first_at) as message,
    archive, source, dataset, field, sum(differing) as numbers, count(distinct instrument_id) as instruments
from marts.archive_differences
group by archive, source, dataset, field
order by numbers desc, archive, dataset, field
""", False,
    "An archive and the source that it is of state the same numbers.",
    "a file may be older than a correction; the tables have the source's number, and `marts.archive_differences` both.",
)  # fmt: skip

UNLISTED = Check(
    "unlisted", "marts.dim_instruments", """
select source || ': ' || count(*) || ' of the instruments of ' || venue || ' left its list, which states no delisting, such as '
        || arg_max(instrument_id, last_listed_at) || strftime(max(last_listed_at), ', last listed at %Y-%m-%d %H:%M')
        || '; nothing of them is due after, and their rows are kept' as message,
    source, venue, count(*) as instruments, list(instrument_id order by last_listed_at desc, instrument_id) as instrument_ids,
    max(last_listed_at) as last_listed_at, max(unlisted_at) as unlisted_at
from marts.dim_instruments
cross join meta.scope
where valid_to is null
    and unlisted_at >= as_of - interval 7 day
    and delisted_at is null
    and status is distinct from 'delisted'
    and list_has_any(assets, [base_asset, 'all'])
group by source, venue
order by instruments desc, source
""", False,
    "No contract has left its venue's list within the last 7 days without a delisting.",
    "venues delist so, and rename; an instrument that is listed again is due again.",
)  # fmt: skip

#: The head of a query: its relation `measured` is what data say of facts about venues. `agrees` is null where they leave it open.
MEASURED = """
with gaps as (  -- as the facts state it, whatever the models took it for
    select f.venue, round(date_diff('minute', lag(settled_at) over series, settled_at) / 60)::integer as gap, k.hours
    from marts.fct_funding_rates as f
    inner join (
        select distinct venue, value::double as hours,
            coalesce(valid_from, '-infinity') as since, coalesce(valid_to, 'infinity') as until
        from marts.dim_venue_facts
        where dataset = 'funding_rates' and fact = 'fixed_interval_hours'
    ) as k on f.venue = k.venue and f.settled_at >= k.since and f.settled_at < k.until
    window series as (partition by instrument_id order by settled_at)
),
intervals as (
    select venue, 'funding_rates' as dataset, 'fixed_interval_hours' as fact, format('{:g}', mode(hours)) as stated,
        mode(gap)::varchar as measured, count(gap) as observations, mode(gap) = mode(hours) as agrees
    from gaps
    group by venue
    having observations >= 24
),
sides as (  -- both sides counted: against another's number, half or twice for three assets and more
    select venue, 'open_interest', 'sides of open interest', 'one side',
        format('{:.2f} times that of {}', median(our_value / reported_value), any_value(source)), count(*),
        case when abs(log2(median(our_value / reported_value))) < 0.3 then true
            when abs(abs(log2(median(our_value / reported_value))) - 1) < 0.11 then false end
    from marts.reconciliation_daily
    where metric = 'open_interest' and venue is not null and our_value > 0 and reported_value > 0
    group by venue
    having count(distinct base_asset) >= 3
),
traded as (  -- positions of one side change by at most the volume (Giagkiozis & Said, Ledger 9, 2024), of two by at most twice
    select o.venue, o.instrument_id, abs(o.oi_base - o.before) / c.volume_base as share
    from (
        select *, lag(oi_base) over series as before, observed_at - lag(observed_at) over series = interval 1 hour as is_next
        from marts.fct_open_interest
        where not is_snapshot and mark_method not in ('close_proxy', 'last_close')
        window series as (partition by instrument_id order by observed_at)
    ) as o
    inner join marts.fct_candles as c on o.instrument_id = c.instrument_id and c.opened_at = o.observed_at - interval 1 hour
    where o.is_next and c.volume_base > 0
),
volumes as (  -- sides halved for nothing would never change by more than half of the volume
    select venue, 'open_interest', 'sides of open interest', 'one side',
        format('beyond the volume in {} hours, at most {:.2f} times', count(*) filter (share > 1.02),
            quantile_cont(share, 0.999)), count(*),
        case when count(*) filter (share > 1.02) > 0.005 * count(*) and quantile_cont(share, 0.999) < 2.2 then false
            when quantile_cont(share, 0.999) between 0.55 and 1.02 then true end
    from traded
    group by venue
    having count(*) >= 500
),
liquidated as (
    select l.venue, 'liquidations', 'unit of liquidations', 'coins of the contract',
        format('{:.3g} times the volume of their hour at the median', median(l.size / c.volume_base)), count(*),
        case when median(l.size / c.volume_base) > 1 then false end
    from (
        select venue, instrument_id, date_trunc('hour', liquidated_at) as opened_at, sum(size_usd / price) as size
        from marts.fct_liquidations where price > 0 group by all
    ) as l
    inner join marts.fct_candles as c using (instrument_id, opened_at)
    where c.volume_base > 0
    group by l.venue
    having count(*) >= 24
),
measured as (from intervals union all from sides union all from volumes union all from liquidated)
"""

CONTRADICTED = Check(
    "contradicted", "marts.dim_venue_facts", f"""{MEASURED}
select venue || ': ' || fact || ' is ' || stated || ' in venue_facts.csv, measured: ' || measured || ' (' || observations
    || ' observations)' as message, * exclude (dataset, agrees)
from measured
where not agrees
order by venue, fact
""", False,
    "No fact about a venue is at odds with its data: funding intervals, sides of open interest, units of liquidations.",
    "the venue may have changed: hold the fact against its documentation, and give it an era in venue_facts.csv.",
)  # fmt: skip

# --- prices -----------------------------------------------------------------------------------------------------------

PRICES_APART = Check(
    "price_across_venues", "marts.daily_instruments", """
with closes as (
    select day, base_asset, max(close) / min(close) as ratio,
        arg_min(instrument_id, close) as cheap, arg_max(instrument_id, close) as dear
    from (
        select * from marts.daily_instruments
        where close > 0 and base_asset is not null
        qualify candles >= 0.9 * max(candles) over (partition by day, base_asset)
    )
    group by day, base_asset
)
select base_asset, cheap, dear, count(*) as days, min(day) as first_day, max(day) as last_day, max(ratio) as ratio
from closes
where ratio > 1.05
group by base_asset, cheap, dear
order by ratio desc
""", False,
    "Daily closes of one asset differ by at most 5 % between venues.",
    "thin or halted books drift apart, and one ticker can be two coins; look before using their median.",
)  # fmt: skip

JUMPS = Check(
    "jumps", "marts.fct_candles", """
select instrument_id, opened_at, before, close, after, close / before - 1 as change
from (
    select instrument_id, opened_at, close, lag(close) over series as before, lead(close) over series as after,
        lead(opened_at) over series - lag(opened_at) over series as span
    from marts.fct_candles
    window series as (partition by instrument_id order by opened_at)
)
where span = interval 2 hour
    and abs(close / before - 1) > 0.5
    and abs(ln(after / before)) < 0.5 * abs(ln(close / before))
order by abs(ln(close / before)) desc
""", False,
    "No hourly close is more than 50 % off and back in the next hour.",
    "a real wick looks the same as a bad bar.",
)  # fmt: skip

MARK_INDEX = Check(
    "mark_against_index", "marts.fct_candles", """
select instrument_id, count(*) as hours, min(opened_at) as first, max(opened_at) as last,
    max(abs(mark_close / index_close - 1)) as worst
from marts.fct_candles
where abs(mark_close / index_close - 1) > 0.05
group by instrument_id
order by worst desc
""", False,
    "Mark and index price are within 5 % of each other.",
    "squeezes and new listings do this for hours.",
)  # fmt: skip

# --- funding ----------------------------------------------------------------------------------------------------------

FUNDING_SPIKES = Check(
    "funding_spikes", "marts.fct_funding_rates", """
with spikes as (
    select *, greatest(abs(before), abs(after), 1e-5) as around
    from (
        select instrument_id, base_asset, settled_at, rate_8h,
            lag(rate_8h) over series as before, lead(rate_8h) over series as after
        from marts.fct_funding_rates
        window series as (partition by instrument_id order by settled_at)
    )
    where abs(rate_8h) > 0.002 and abs(rate_8h) > 30 * around
)
select s.instrument_id, s.settled_at, s.before, s.rate_8h, s.after, max(abs(o.rate_8h)) as others_largest
from spikes as s
left join marts.fct_funding_rates as o
    on o.base_asset = s.base_asset and o.instrument_id <> s.instrument_id
    and o.settled_at between s.settled_at - interval 8 hour and s.settled_at + interval 8 hour
group by all
having coalesce(abs(s.rate_8h) > 10 * others_largest, true)
order by max(abs(s.rate_8h)) desc
""", False,
    "No single rate is 30 times those before and after it and 10 times the largest of the asset's other venues within 8 hours.",
    "one settlement can be a real squeeze of one venue.",
)  # fmt: skip

FUNDING_SIZE = Check(
    "funding_size", "marts.fct_funding_rates", """
select instrument_id, count(*) as settlements, min(settled_at) as first, max(settled_at) as last, max(abs(rate_8h)) as largest
from marts.fct_funding_rates
where abs(rate_8h) > 0.04
group by instrument_id
order by largest desc
""", False,
    "|8-hour funding| is at most 4 %.",
    "venues cap majors far below it, small coins not always.",
)  # fmt: skip

FUNDING_PREMIUM = Check(
    "funding_against_premium", "marts.daily_instruments", """
with premiums as (
    select opened_at::date as day, instrument_id, avg(mark_close / index_close - 1) as premium
    from marts.fct_candles
    where index_close > 0
    group by all
),
three_days as (
    select instrument_id, day, avg(funding_8h) over recent as funding_8h, avg(premium) over recent as premium
    from marts.daily_instruments
    inner join premiums using (day, instrument_id)
    where funding_8h is not null and premium is not null
    window recent as (partition by instrument_id order by day range between interval 2 day preceding and current row)
    qualify count(*) over recent = 3
)
select instrument_id, count(*) as days, min(day) as first_day, max(day) as last_day,
    arg_max(funding_8h, abs(funding_8h)) as funding_8h, arg_max(premium, abs(funding_8h)) as premium
from three_days
where abs(funding_8h) > 0.0005
    and (funding_8h * premium < 0 and abs(premium) > 0.0001 or abs(funding_8h) > 10 * (abs(premium) + 0.0005))
group by instrument_id
order by days desc
""", False,
    "Over three days, an 8-hour funding beyond 0.05 % has the sign of the premium of mark over index, and is at most ten times "
    "the premium and the 0.05 % of the venues' clamp.",
    "venues take their premium from the order book, not from the mark price: the two may differ for a while.",
)  # fmt: skip

# --- open interest ----------------------------------------------------------------------------------------------------

# Positions change only by trading: |change of open interest| <= volume (Giagkiozis & Said, Ledger 9, 2024). The venues'
# rounding is allowed for; snapshots, which aren't taken on the hour, are left out.
_OI_CHANGES = """
with changes as (
    select o.instrument_id, o.observed_at, o.oi_base, o.before, c.volume_base,
        abs(o.oi_base - o.before) > c.volume_base + 1e-5 * o.oi_base as beyond
    from (
        select instrument_id, observed_at, oi_base, observed_at - interval 1 hour as bar, lag(oi_base) over series as before,
            observed_at - lag(observed_at) over series = interval 1 hour as is_next
        from marts.fct_open_interest
        where not is_snapshot
        window series as (partition by instrument_id order by observed_at)
    ) as o
    inner join marts.fct_candles as c on o.instrument_id = c.instrument_id and o.bar = c.opened_at
    where o.is_next and c.volume_base is not null
)
"""
OI_CHANGE = Check(
    "change_within_volume", "marts.fct_open_interest", f"""{_OI_CHANGES}
select instrument_id, count(*) filter (beyond) as hours_beyond, count(*) as hours, hours_beyond / hours as share,
    max(abs(oi_base - before) / nullif(volume_base, 0)) filter (beyond) as worst_change_over_volume
from changes
group by instrument_id
having hours >= 24 and share > 0.01
order by share desc
""", False,
    "Open interest changes within an hour by at most the volume traded in it, except in 1 % of the hours.",
    "timestamps off the hour and delayed figures cause this in a few hours.",
)  # fmt: skip

OI_STEPS = Check(
    "steps", "marts.fct_open_interest", f"""{_OI_CHANGES}
select instrument_id, observed_at, before, oi_base, volume_base, oi_base / before as ratio
from changes
where beyond and before > 0 and (abs(abs(log2(oi_base / before)) - 1) < 0.03
    or (abs(log10(oi_base / before)) > 0.9 and abs(log10(oi_base / before) - round(log10(oi_base / before))) < 0.02))
order by observed_at
""", False,
    "Open interest doesn't double, halve or move by a power of ten within an hour and beyond the volume traded.",
    "a venue that changes from two sides to one, or its contract size, looks like this; so does one bad figure.",
)  # fmt: skip

OI_VALUE = Check(
    "value_against_venue", "marts.fct_open_interest", """
select instrument_id, count(*) as hours, count(*) filter (abs(oi_usd / venue_usd - 1) > 0.02) as hours_off,
    median(oi_usd / venue_usd) as ratio, median(oi_base) as oi_base, median(venue_usd / mark_price) as venue_base
from marts.fct_open_interest
where venue_usd > 0 and oi_usd > 0 and mark_method <> 'venue_usd'
group by instrument_id
having hours_off > 0.01 * hours
order by abs(ln(ratio)) desc
""", False,
    "Our USD value is within 2 % of the venue's own, except in 1 % of the hours.",
    "the venue may value at another price or another minute.",
)  # fmt: skip

OI_TURNOVER = Check(
    "open_interest_over_volume", "marts.daily_instruments", """
select instrument_id, count(*) as days, median(oi_usd / volume_usd) as ratio,
    median(oi_usd) as oi_usd, median(volume_usd) as volume_usd
from marts.daily_instruments
where oi_usd > 0 and volume_usd > 0 and candles >= 20
group by instrument_id
having days >= 3 and ratio not between 1.0 / 30 and 30
order by abs(ln(ratio)) desc
""", False,
    "The median of open interest over a day's volume lies between 1/30 and 30.",
    "wash trading and dead listings cause this, as a wrong contract size does.",
)  # fmt: skip

# --- liquidations -----------------------------------------------------------------------------------------------------

LIQUIDATIONS_ONE_SIDED = Check(
    "one_sided", "marts.fct_liquidations", """
select instrument_id, count(*) as events, min(liquidated_at) as first, max(liquidated_at) as last,
    any_value(liquidated_side) as side, sum(size_usd) as size_usd
from marts.fct_liquidations
group by instrument_id
having events >= 20 and count(distinct liquidated_side) = 1
order by events desc
""", False,
    "Twenty or more liquidations of an instrument are not all of one side.",
    "a short window in a steady trend causes this; over weeks it means that the side was read wrongly.",
)  # fmt: skip

LIQUIDATION_SIDE = Check(
    "liquidation_side", "marts.daily_assets", """
select day, asset, return_1d, liq_long_usd, liq_short_usd
from marts.daily_assets
where abs(return_1d) > 0.08 and (liq_long_usd - liq_short_usd) * return_1d > 0
order by day, asset
""", False,
    "On a day that moves by more than 8 %, most liquidations are of positions on the wrong side of the move.",
    "single thin assets break it; many of them mean that the order side was read as the position side.",
)  # fmt: skip

MARTS = [
    SET_APART,
    CORRECTED,
    ARCHIVE_DIFFERS,
    UNLISTED,
    CONTRADICTED,
    _fresh("candles", "opened_at", "marts.fct_candles", hours=3, step=1),
    _fresh("funding_rates", "settled_at", "marts.fct_funding_rates", hours=9),
    _fresh("open_interest", "observed_at", "marts.fct_open_interest", hours=3),
    GAPS,
    VOLUME_SUM,
    PRICES_APART,
    JUMPS,
    MARK_INDEX,
    FUNDING_SPIKES,
    FUNDING_SIZE,
    FUNDING_PREMIUM,
    OI_CHANGE,
    OI_STEPS,
    OI_VALUE,
    OI_TURNOVER,
    LIQUIDATIONS_ONE_SIDED,
    LIQUIDATION_SIDE,
]
REGIMES = [_schema("marts.regime_labels", LABELS)]
