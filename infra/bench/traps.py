# ruff: noqa: E501 -- a trap is a line of SQL
"""Thirty-six faults, put one at a time into good series: which are named for what they are, at the venue that has them.

    python -m infra.bench.traps            # the synthetic market, and ../shared/recordings/series where it is there

A trap is SQL on the tables that the models `int_faults_*` read; the models run as they are, without dbt. A trap counts as named if a
fault of its kind is found at its instrument or venue and at no other venue; the good series must have no fault at all.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import jinja2
import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
MODELS = ("int_faults_candles", "int_faults_funding", "int_faults_open_interest", "int_faults_liquidations", "int_series_faults")
RECORDED = ROOT.parent / "shared" / "recordings" / "series"
DAYS, END = 41, 1_761_955_200_000  # up to 2025-11-01; the crash of 10 October lies inside
HOUR = 3_600_000
VENUES = {"binance": 8, "bybit": 8, "hyperliquid": 1, "kraken": 1}
ASSETS = ("BTC", "ETH", "SOL")

FACTS = """
create table int_candles_converted as
select venue, venue || ':' || asset as instrument_id, asset as base_asset, make_timestamp(ms * 1000) as opened_at, open, high, low, close,
    volume as volume_base, coalesce(quote, volume * (high + low + close) / 3) as volume_usd,
    case when quote is null then 'volume_x_typical_price' else 'quote_turnover' end as volume_usd_method, mark as mark_close
from candles;
create table int_funding_settlements as
select venue, venue || ':' || asset as instrument_id, asset as base_asset, date_trunc('minute', make_timestamp(ms * 1000)) as settled_at,
    rate as rate_interval, hours::double as interval_hours, rate / hours * 8 as rate_8h
from funding;
create table int_open_interest_converted as
select o.venue, o.venue || ':' || o.asset as instrument_id, o.asset as base_asset, make_timestamp(o.ms * 1000) as observed_at,
    size as oi_base, size * o.mark as oi_usd, o.mark as mark_price, method as mark_method, null::double as venue_usd, false as is_snapshot
from open_interest as o;
create table int_liquidations_converted as
select venue, venue || ':' || asset as instrument_id, asset as base_asset, make_timestamp(ms * 1000) as liquidated_at,
    case when is_long then 'long' else 'short' end as liquidated_side, price, size as size_base, size * price as size_usd
from liquidations;
"""

DAILY = """
create or replace table int_daily_instruments as
select split_part(instrument_id, ':', 1) as venue, *
from (
    select opened_at::date as day, instrument_id, base_asset, arg_min(open, opened_at) as open, arg_max(close, opened_at) as close,
        sum(volume_base) as volume_base, sum(volume_usd) as volume_usd, count(*) as candles
    from int_candles_converted group by all
)
full join (
    select observed_at::date as day, instrument_id, base_asset, arg_max(oi_usd, observed_at) as oi_usd
    from int_open_interest_converted group by all
) using (day, instrument_id, base_asset)
full join (select settled_at::date as day, instrument_id, base_asset from int_funding_settlements group by all)
    using (day, instrument_id, base_asset)
full join (
    select liquidated_at::date as day, instrument_id, base_asset, sum(size_usd) filter (liquidated_side = 'long') as liq_long_usd,
        sum(size_usd) filter (liquidated_side = 'short') as liq_short_usd
    from int_liquidations_converted group by all
) using (day, instrument_id, base_asset)
"""


@dataclass(frozen=True)
class Trap:
    """A fault. `sql` changes good tables, `kind` is what it must be called, `place` the venue that has it ('' = all venues)."""

    name: str
    sql: str
    kind: str
    place: str = "binance"


def _scaled(table: str, column: str, factor: str, where: str) -> str:
    return f"update {table} set {column} = {column} * ({factor}) where {where}"


C, F, P, L = "int_candles_converted", "int_funding_settlements", "int_open_interest_converted", "int_liquidations_converted"
BINANCE, BYBIT, HL, KRAKEN = (f"venue = '{venue}'" for venue in VENUES)
BOTH_RATES = "update {t} set rate_interval = rate_interval * {f}, rate_8h = rate_8h * {f} where {w}"
OI = "update {t} set oi_base = oi_base * ({f}), oi_usd = oi_usd * ({f}) where {w}"


def _moved(table: str, column: str, hours: int, where: str) -> str:
    return f"update {table} set {column} = {column} + interval ({hours}) hour where {where}"


def _every(table: str, column: str, hours: int, where: str) -> str:
    return f"delete from {table} where {where} and hour({column}) % {hours} <> 0"


def _held(table: str, column: str, values: str, hours: int, where: str) -> str:
    """Values of the start of each `hours` repeated until the next."""
    names = values.split()
    sets = ", ".join(f"{name} = s.{name}" for name in names)
    return (
        f"update {table} as t set {sets} from (select instrument_id as i, {column} as at_time, {', '.join(names)} from {table}) as s "
        f"where t.{where} and s.i = t.instrument_id and s.at_time = time_bucket(interval {hours} hour, t.{column}, timestamp '2000-01-01')"
    )


def _bars_of(hours: int, where: str) -> str:
    return (
        f"create or replace temp table longer as select venue, instrument_id, base_asset, "
        f"time_bucket(interval {hours} hour, opened_at, timestamp '2000-01-01') as opened_at, arg_min(open, opened_at) as open, "
        f"max(high) as high, min(low) as low, arg_max(close, opened_at) as close, sum(volume_base) as volume_base, "
        f"sum(volume_usd) as volume_usd, any_value(volume_usd_method) as volume_usd_method, "
        f"arg_max(mark_close, opened_at) as mark_close from {C} where {where} group by all order by all; "
        f"delete from {C} where {where}; insert into {C} by name from longer"
    )


CRASH = "timestamp '2025-10-05'"
ZEROS = f"between {CRASH} and {CRASH} + interval 16 day"
TRAPS = (
    # unit
    Trap("rates in percent", BOTH_RATES.format(t=F, f=100, w=BINANCE), "unit"),
    Trap("rates in percent, all venues", BOTH_RATES.format(t=F, f=100, w="true"), "unit", ""),
    Trap("rates in percent for ten days", BOTH_RATES.format(t=F, f=100, w=f"{BYBIT} and settled_at > timestamp '2025-10-21'"),
         "unit", "bybit"),
    Trap("rates in basis points", BOTH_RATES.format(t=F, f=10_000, w=KRAKEN), "unit", "kraken"),
    Trap("rates a year", BOTH_RATES.format(t=F, f=8760, w=HL), "unit", "hyperliquid"),
    Trap("percent taken off twice", BOTH_RATES.format(t=F, f=0.01, w=HL), "unit", "hyperliquid"),
    Trap("coins as open interest in USD", OI.format(t=P, f="1 / mark_price", w=HL), "unit", "hyperliquid"),
    Trap("open interest in thousands", OI.format(t=P, f="0.001", w=HL), "unit", "hyperliquid"),
    Trap("open interest in contracts of a thousandth", OI.format(t=P, f="1000", w=HL), "unit", "hyperliquid"),
    Trap("USD as coins of open interest", OI.format(t=P, f="mark_price", w=HL), "unit", "hyperliquid"),
    Trap("prices times a thousand", "; ".join(_scaled(C, c, "1000", BINANCE) for c in ("open", "high", "low", "close")), "unit", ""),
    Trap("another coin under the name",
         f"update {C} as t set open = s.open, high = s.high, low = s.low, close = s.close "
         f"from (select * from {C} where instrument_id = 'binance:ETH') as s "
         "where t.instrument_id = 'binance:BTC' and s.opened_at = t.opened_at", "identity", ""),
    # size of volume
    Trap("coins of volume that are USD", f"update {C} set volume_base = volume_usd, volume_usd = volume_usd * close where {BINANCE}", "unit"),
    Trap("volume times a thousand", f"update {C} set volume_base = volume_base * 1000, volume_usd = volume_usd * 1000 where {BINANCE}", "unit"),
    Trap("USD of volume that are coins", f"update {C} set volume_usd = volume_base, volume_usd_method = 'quote_turnover' where {BINANCE}",
         "consistency"),
    Trap("volume_usd over volume_base off the price", f"update {C} set volume_usd = volume_usd * 1.5, volume_usd_method = 'quote_turnover' "
         f"where {BYBIT}", "consistency", "bybit"),
    # time
    Trap("rates an hour late", _moved(F, "settled_at", 1, BINANCE), "time shift"),
    Trap("rates in the time of New York", _moved(F, "settled_at", -5, BYBIT), "time shift", "bybit"),
    Trap("rates stamped at the start", _moved(F, "settled_at", -8, BINANCE), "time shift"),
    Trap("hourly rates half a day early", _moved(F, "settled_at", -12, KRAKEN), "time shift", "kraken"),
    Trap("open interest five hours late", _moved(P, "observed_at", 5, HL), "time shift", "hyperliquid"),
    Trap("bars stamped at their end", _moved(C, "opened_at", 1, BINANCE), "time shift", ""),
    Trap("all series in the time of Shanghai",
         "; ".join(_moved(t, c, 8, BINANCE) for t, c in ((C, "opened_at"), (F, "settled_at"), (P, "observed_at"))), "time shift", ""),
    # granularity
    Trap("bars of four hours", _bars_of(4, BINANCE), "granularity"),
    Trap("bars of a day", _bars_of(24, BYBIT), "granularity", "bybit"),
    Trap("bars of four hours filled to hours", _held(C, "opened_at", "open high low close", 4, BINANCE), "granularity"),
    Trap("daily sums of funding",
         f"create or replace temp table sums as select venue, instrument_id, base_asset, time_bucket(interval 1 day, settled_at) as settled_at, "
         f"sum(rate_interval) as rate_interval, 8.0 as interval_hours, sum(rate_interval) as rate_8h from {F} where {BINANCE} group by all; "
         f"delete from {F} where {BINANCE}; insert into {F} by name from sums", "granularity"),
    Trap("a rate of eight hours given hourly",
         f"create or replace temp table hourly as select f.* replace (settled_at + to_hours(h) as settled_at, 1.0 as interval_hours, "
         f"rate_interval * 8 as rate_8h) from {F} as f cross join range(8) as r(h) where {BINANCE}; "
         f"delete from {F} where {BINANCE}; insert into {F} by name from hourly", "granularity"),
    Trap("open interest every four hours", _every(P, "observed_at", 4, HL), "granularity", "hyperliquid"),
    # repetition
    Trap("sixteen days of zero rates", f"update {F} set rate_interval = 0, rate_8h = 0 where {BINANCE} and settled_at {ZEROS}", "repetition"),
    Trap("rates carried forward",
         f"update {F} as t set rate_interval = s.rate_interval, rate_8h = s.rate_8h from (select * from {F} where settled_at = {CRASH}) as s "
         f"where t.{KRAKEN} and s.instrument_id = t.instrument_id and t.settled_at {ZEROS}", "repetition", "kraken"),
    Trap("open interest carried over the day", _held(P, "observed_at", "oi_base oi_usd", 24, HL), "repetition", "hyperliquid"),
    # sides
    Trap("open interest of two sides from a day on", OI.format(t=P, f="2", w=f"{HL} and observed_at >= {CRASH}"), "side", "hyperliquid"),
    Trap("open interest of two sides beside the venue's value",
         f"update {P} set venue_usd = oi_usd, mark_method = 'venue_mark' where {HL}; " + OI.format(t=P, f="2", w=HL), "side", "hyperliquid"),
    Trap("sides of liquidations swapped",
         f"update {L} set liquidated_side = case liquidated_side when 'long' then 'short' else 'long' end where {KRAKEN}", "side", "kraken"),
    # consistency
    Trap("a mark that is not the price", f"update {C} set mark_close = close * 1.1 where {BYBIT}", "consistency", "bybit"),
)  # fmt: skip


def recorded(assets: tuple[str, ...] = ASSETS, days: int = DAYS, end: int = END) -> dict[str, pd.DataFrame]:
    """The recorded series; only one venue has open interest, none has single liquidations."""
    with duckdb.connect() as con:
        window = f"epoch_ms(timestamp) >= {end - days * 24 * HOUR} and epoch_ms(timestamp) < {end} and coin in {assets}"

        def read(sql: str) -> pd.DataFrame:
            return con.execute(sql.replace("{window}", window)).df()

        return {
            "candles": read(f"select venue, coin as asset, epoch_ms(timestamp) as ms, open, high, low, close, volume_base as volume, "
                            f"null::double as quote, null::double as mark from '{RECORDED}/candles_1h.parquet' where {{window}}"),
            "funding": read(f"select venue, coin as asset, epoch_ms(timestamp) as ms, funding_rate as rate, "
                            f"case when venue || coin = 'binanceHYPE' then 4 when venue in ('binance', 'bybit') then 8 else 1 end as hours "
                            f"from '{RECORDED}/funding_rates.parquet' where {{window}}"),
            "open_interest": read(
                f"select venue, coin as asset, epoch_ms(timestamp) as ms, oi_usd / c.close as size, c.close as mark, 'close_proxy' as method "
                f"from '{RECORDED}/open_interest_1h.parquet' inner join (select coin, timestamp + interval 1 hour as timestamp, "
                f"median(close) as close from '{RECORDED}/candles_1h.parquet' group by all) as c using (coin, timestamp) where {{window}}"),
            "liquidations": pd.DataFrame({"venue": [""], "asset": "", "ms": 0, "is_long": True, "price": 0.0, "size": 0.0})[:0],
        }  # fmt: skip


def synthetic() -> dict[str, pd.DataFrame]:
    """41 days of the synthetic market, seed 7."""
    from infra.emulator.synthetic import SyntheticMarket

    market = SyntheticMarket(seed=7, until=END)
    tables: dict[str, list[pd.DataFrame]] = {"candles": [], "funding": [], "open_interest": [], "liquidations": []}
    for venue, hours in VENUES.items():
        for asset in ASSETS:
            bars, mark = market.candles(venue, asset, "trade"), market.candles(venue, asset, "mark")
            funding, oi = market.funding(venue, asset), market.open_interest(venue, asset)
            assert bars and mark and funding and oi
            values = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
            closes = {"ms": bars.opened_at, **values, "quote": bars.quote_volume, "mark": mark.close}
            forced = market.liquidations(venue, asset)
            parts = {
                "candles": closes,
                "funding": {"ms": funding.settled_at, "rate": funding.rate, "hours": hours},
                "open_interest": {"ms": oi.observed_at, "size": oi.size, "mark": oi.mark, "method": "venue_mark"},
            }
            if forced:
                parts["liquidations"] = {"ms": forced.time, "is_long": forced.long, "price": forced.price, "size": forced.size}
            for name, columns in parts.items():
                table = pd.DataFrame({"venue": venue, "asset": asset, **columns})
                tables[name].append(table[(table["ms"] >= END - DAYS * 24 * HOUR) & (table["ms"] < END)])
    return {name: pd.concat(parts) for name, parts in tables.items()}


def good(tables: dict[str, pd.DataFrame]) -> duckdb.DuckDBPyConnection:
    """A database with the tables that the models read."""
    con = duckdb.connect(config={"threads": 1})
    con.execute("set TimeZone = 'UTC'")
    for name, frame in tables.items():
        con.register(name, frame.replace({np.nan: None}) if frame.empty else frame)
    con.execute(FACTS)
    return con


@cache
def _template(model: str) -> jinja2.Template:
    project = ROOT / "dbt_project"
    macros = "".join((project / "macros" / f"{name}.sql").read_text() for name in ("aggregates", "faults", "time"))
    return jinja2.Template(macros + (project / "models" / "intermediate" / f"{model}.sql").read_text())


def faults(con: duckdb.DuckDBPyConnection, since: str = "") -> set[tuple[str, str]]:
    """Venue and kind of the faults that the models find: of all months, or as an incremental run that judges those from `since` on."""

    def in_window(column: str, window: None, margin: int = 0) -> str:
        return f"{column} >= timestamp '{since}' - interval {margin} hour" if since else "true"

    con.execute(DAILY)
    for model in MODELS:
        sql = _template(model).render(
            ref=lambda name: name,
            config=lambda **options: "",
            replaced_window=lambda: None,
            in_window=in_window,
        )
        con.execute(f"create or replace temp table {model} as {sql}")
    return set(con.execute("select distinct venue, kind from int_series_faults").fetchall())


def sprung(con: duckdb.DuckDBPyConnection, trap: Trap) -> set[tuple[str, str]]:
    """The faults that are found with one trap in the tables, which are as before afterwards."""
    con.begin()
    try:
        con.execute(trap.sql)
        return faults(con)
    finally:
        con.rollback()


def is_named(trap: Trap, found: set[tuple[str, str]]) -> bool:
    """Whether its kind is found, at its venue and, where one venue has it, at no other."""
    venues = {venue for venue, kind in found if kind == trap.kind}
    return bool(venues) if not trap.place else venues == {trap.place}


def main() -> None:
    sources = {"synthetic": synthetic} | ({"recorded": recorded} if RECORDED.exists() else {})
    named: set[str] = set()
    for name, source in sources.items():
        con = good(source())
        alarms = faults(con)
        count = 0
        for trap in TRAPS:
            found = sprung(con, trap)
            if is_named(trap, found):
                count += 1
                named.add(trap.name)
            else:
                sys.stdout.write(
                    f"{name}: {trap.name}: should be {trap.kind} at {trap.place or 'any'}; found {sorted(found) or 'nothing'}\n"
                )
        sys.stdout.write(
            f"{name}: {count} of {len(TRAPS)} named, {len(alarms)} false alarms on good series {sorted(alarms) or ''}\n"
        )
    sys.stdout.write(f"{len(named)} of {len(TRAPS)} named in one or the other\n")


if __name__ == "__main__":
    main()
