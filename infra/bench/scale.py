"""What publishing one more day costs on a large warehouse, against publishing all: seconds and memory.

Raw rows of four venues are made in SQL, `instruments` at each: hourly candles, open interest and funding as the venues send them,
with prices and sizes of random digits, so that they compress no better than a market's. dbt builds the marts of the last month;
the months before are these again, moved back in time. The whole is published; one more day is added to each mart, with the
windows noted that dbt replaces for one, and is published. Each publication runs in a process of its own.

Alone: `python -m infra.bench.scale --instruments 100 --days 365`, or `python -m infra.bench --only publish`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import typer

from assets.defs import dbt
from assets.defs.publish import published_marts
from assets.defs.snapshot import Mart, copy_marts, write_parquet
from pipelines import warehouse
from pipelines.windows import Window

#: The day after the first history; its month is half over, as on average.
NEXT = date(2026, 3, 16)
SOURCES = {"binance_usdm": "binance", "bybit_linear": "bybit", "hyperliquid": "hyperliquid", "kraken_futures": "kraken"}

#: By raw table: its columns over `rows`, and the hours of the day that have a row.
_LISTS = {
    "binance_usdm__instruments": "coin || 'USDT' AS symbol, symbol AS pair, 'PERPETUAL' AS contract_type, 'TRADING' AS status, "
    "coin AS base_asset, 'USDT' AS quote_asset, 'USDT' AS margin_asset, 4133404800000 AS delivery_date",
    "bybit_linear__instruments": "coin || 'USDT' AS symbol, 'LinearPerpetual' AS contract_type, 'Trading' AS status, "
    "coin AS base_coin, 'USDT' AS quote_coin, 'USDT' AS settle_coin, 480 AS funding_interval",
    "hyperliquid__instruments": "coin AS name, 5 AS sz_decimals",
    "kraken_futures__instruments": "'PF_' || coin || 'USD' AS symbol, 'flexible_futures' AS type, true AS tradeable, "
    "coin || ':USD' AS pair, 1 AS contract_size",
}
_BAR = "px AS open, round(px * 1.002, 4) AS high, round(px * 0.998, 4) AS low, round(px * (1 + (noise - 0.5) / 1000), 4) AS close"
_HOURLY = {
    "binance_usdm__candles": f"coin || 'USDT' AS symbol, ms AS open_time, {_BAR}, size AS volume, ms + 3599999 AS close_time, "
    "round(size * px, 4) AS quote_volume, (100 * noise)::BIGINT + 1 AS trades",
    "binance_usdm__mark_candles": "coin || 'USDT' AS symbol, ms AS open_time, round(px * 1.0001, 4) AS close",
    "binance_usdm__index_candles": "coin || 'USDT' AS symbol, ms AS open_time, round(px * 0.9999, 4) AS close",
    "binance_usdm__open_interest": "coin || 'USDT' AS symbol, ms AS timestamp, round(1000 * size, 3) AS sum_open_interest",
    "bybit_linear__candles": f"coin || 'USDT' AS symbol, ms AS open_time, {_BAR}, size AS volume, "
    "round(size * px, 4) AS turnover",
    "bybit_linear__open_interest": "coin || 'USDT' AS symbol, ms AS timestamp, round(900 * size, 3) AS open_interest",
    "hyperliquid__candles": f"coin AS coin, ms AS open_time, ms + 3599999 AS close_time, {_BAR}, size AS volume, 9 AS trades",
    "hyperliquid__funding_rates": "coin AS coin, ms + 76 AS time, round(1e-5 * noise, 9) AS funding_rate",
    "kraken_futures__candles": f"'PF_' || coin || 'USD' AS symbol, ms AS time, {_BAR}, size AS volume",
    "kraken_futures__funding_rates": "'PF_' || coin || 'USD' AS symbol, ms AS timestamp, "
    "round(1e-5 * noise, 9) AS relative_funding_rate",
}
_EIGHT_HOURLY = {
    "binance_usdm__funding_rates": "coin || 'USDT' AS symbol, ms + 7 AS funding_time, round(1e-4 * noise, 8) AS funding_rate, "
    "'Regular' AS rate_type",
    "bybit_linear__funding_rates": "coin || 'USDT' AS symbol, ms AS funding_rate_timestamp, "
    "round(1e-4 * noise, 8) AS funding_rate",
}


def fill(database: Path, instruments: int, first: date, last: date) -> None:
    """Add the raw rows of the days from `first` to `last` to a warehouse, which is made where there is none."""
    with warehouse.connect(database) as connection:
        warehouse.prepare(connection, "bench")
        is_new = warehouse.built(connection) is None
        window = Window.of_days(first, last)
        for source, venue in SOURCES.items():
            warehouse.note_run(connection, "bench", "synthetic", "synthetic", window, window.end, ["all"], [venue], source)
        day = first
        while day <= last:  # a month at a time, which bounds memory
            end = min(date(day.year + day.month // 12, day.month % 12 + 1, 1), last + timedelta(days=1))
            _insert(connection, instruments, day, end, lists=is_new and day == first)
            day = end
        warehouse.mark_changed(connection, window)


def _insert(connection: duckdb.DuckDBPyConnection, instruments: int, start: date, end: date, lists: bool) -> None:
    kept = f"'page' AS _page, 'run' AS _run, TIMESTAMP '{start}' AS _observed_at"
    begins, ends = ((day - date(1970, 1, 1)).days * 24 for day in (start, end))
    coins = f"SELECT n, printf('C%03d', n) AS coin FROM range({instruments}) AS r(n)"
    hours = (
        "SELECT coin, hour, 3600000 * hour AS ms, (hash(n, hour) % 1000003) / 1000003 AS noise, "
        "round(100 * (1 + n % 7) * (1 + 0.1 * sin(hour / 90 + n)) * (1 + noise / 500), 4) AS px, "
        "round(10 + 1000 * ((hash(hour, n) % 1000003) / 1000003), 3) AS size "
        f"FROM ({coins}), range({begins}, {ends}) AS h(hour)"
    )
    for table, columns in _LISTS.items() if lists else ():
        connection.execute(f"INSERT INTO raw.{table} BY NAME SELECT {columns}, {kept} FROM ({coins})")
    for tables, condition in ((_HOURLY, "true"), (_EIGHT_HOURLY, "hour % 8 = 0")):
        for table, columns in tables.items():
            connection.execute(f"INSERT INTO raw.{table} BY NAME SELECT {columns}, {kept} FROM ({hours}) WHERE {condition}")


def build(database: Path) -> None:
    """Build the marts of a new warehouse."""
    with warehouse.connect(database) as connection:
        todo = dbt.plan(connection)
    dbt.build(todo, database)


def move(connection: duckdb.DuckDBPyConnection, since: date, until: date, by: int) -> None:
    """Add to each mart with a day or a time its rows of `[since, until)`, all their times moved by a number of days.

    Of a mart that is a view, to the incremental model behind it; the window that dbt replaces for such rows is noted.
    """
    columns: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, table, column, kind in connection.execute(
        "SELECT c.schema_name, c.table_name, column_name, data_type FROM duckdb_columns() AS c "
        "JOIN duckdb_tables() AS t USING (schema_name, table_name) ORDER BY column_index"
    ).fetchall():
        columns.setdefault((schema, table), []).append((column, kind))
    for name, model in published_marts().items():
        place = ("intermediate", model) if model and model != name else ("marts", name)
        mart = Mart(name, tuple(columns.get(place, ())), model)
        if mart.time is None:
            continue
        moved = ", ".join(f'"{c}" + INTERVAL ({by}) DAY AS "{c}"' for c, kind in mart.columns if kind in ("DATE", "TIMESTAMP"))
        table = f"{place[0]}.{place[1]}"
        days = [since + timedelta(days=n) for n in range((until - since).days)]
        connection.execute(f"INSERT INTO {table} SELECT * REPLACE ({moved}) FROM {table} WHERE {mart.of_days(days)}")
        if model:
            meta = dbt.manifest()["nodes"][f"model.perplake.{model}"]["config"]["meta"]
            back, ahead = (meta.get(name, 0) for name in ("look_back", "look_ahead"))
            connection.execute(
                f"INSERT INTO meta.replaced (model, window_start, window_end) SELECT ?, ?::TIMESTAMP - INTERVAL {back} HOUR, "
                f"?::TIMESTAMP + INTERVAL {0 if ahead == 'always' else ahead} HOUR",
                [model, since + timedelta(days=by), until + timedelta(days=by)],
            )


#: Days that dbt builds.
BUILT = 30


def make(database: Path, instruments: int, days: int) -> None:
    """Make a warehouse of some instruments at each venue whose marts have some days (a multiple of `BUILT` is made)."""
    first = NEXT - timedelta(days=BUILT)
    fill(database, instruments, first, NEXT - timedelta(days=1))
    build(database)
    with warehouse.connect(database) as connection:
        for back in range(BUILT, days, BUILT):
            move(connection, first, NEXT, -back)


def publish(database: Path, out: Path) -> dict[str, float]:
    """Publish a warehouse; seconds by part."""
    marts = published_marts()
    begun = time.perf_counter()
    copy = copy_marts(database, out, marts)
    copied = time.perf_counter()
    write_parquet(copy, out / "parquet")
    return {"DuckDB": copied - begun, "Parquet": time.perf_counter() - copied}


@dataclass(frozen=True)
class Cost:
    """What a step took: seconds by part, and the largest memory in MB."""

    seconds: dict[str, float]
    peak_mb: float

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def alone(module: str, *options: object) -> Cost:
    """A module of the bench with options in a process of its own, which prints its cost."""
    command = [sys.executable, "-m", f"infra.bench.{module}", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Published:
    """Publications of one warehouse: of all its rows, and after one more day (the median of three); the rows of its facts."""

    whole: Cost
    day: Cost
    rows: int


def publish_costs(instruments: int, days: int) -> Published:
    """Make a warehouse, publish it whole, and again after each of four more days; the first has to copy the file, of which there
    is one then, and does not count."""
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
        database, out = Path(folder) / "warehouse.duckdb", Path(folder) / "published"
        make(database, instruments, days)
        whole = alone("scale", "--database", database, "--out", out)
        costs = []
        for day in (NEXT + timedelta(days=n) for n in range(4)):
            with warehouse.connect(database) as connection:
                move(connection, day - timedelta(days=1), day, 1)
            costs.append(alone("scale", "--database", database, "--out", out))
        with duckdb.connect(str(out / "perplake.duckdb"), read_only=True) as connection:
            sql = (
                "SELECT sum(estimated_size)::BIGINT FROM duckdb_tables() WHERE schema_name = 'marts' AND table_name LIKE 'fct_%'"
            )
            (rows,) = connection.execute(sql).fetchall()[0]
    return Published(whole, sorted(costs[1:], key=lambda cost: cost.total)[1], rows)


def main(instruments: int = 100, days: int = 365, database: Path | None = None, out: Path | None = None) -> None:
    """Print what both publications cost; with a database, publish that alone."""
    if database and out:
        seconds = publish(database, out)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        typer.echo(json.dumps({"seconds": seconds, "peak_mb": peak}))
        return
    found = publish_costs(instruments, days)
    for name, cost in (("whole", found.whole), ("one more day", found.day)):
        typer.echo(f"{name}: {cost.total:.1f} s {cost.seconds}, {cost.peak_mb:,.0f} MB")
    typer.echo(f"{found.rows:,} rows of facts; ratio {found.day.total / found.whole.total:.3f}")


if __name__ == "__main__":
    typer.run(main)
