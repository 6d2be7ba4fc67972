"""A backfill of sixteen sources into a lake by one worker, and by several that share the sources: wall and processor time.

    emulator ◄── limits in PostgreSQL ── N × `perps backfill`, each with its venues ──► one lake

The workers have a home each, as machines have. At the emulator's usual limits, 500 times those of the venues, processors bind;
with a small part of the venues' limits these bind, and more workers change nothing. The raw tables have to be equal.

Alone: `python -m infra.bench.backfill --workers 4 --days 30`; where limits bind: `… --limits-scale 0.05`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from assets.runtime.emulator import emulator
from infra.compare import checksum, columns
from infra.lake import servers, temporary
from pipelines import ducklake
from pipelines.settings import Settings
from pipelines.windows import iso, to_ms

#: Thirteen venues, of which three have two sources.
VENUES = "binance kraken okx gate bybit deribit dydx kucoin htx bitget mexc coinbase hyperliquid".split()
CLOCK = datetime(2025, 6, 10, tzinfo=UTC)
MARKET = "synthetic-7"


def main(
    workers: Annotated[int, typer.Option(help="processes that share the sources")] = 4,
    days: Annotated[int, typer.Option(help="days of history")] = 30,
    limits_scale: Annotated[float, typer.Option(help="factor of the venues' limits")] = 500,
) -> None:
    """Backfill with one worker, then with several; exit status 1 where a raw table differs."""
    until = f"{CLOCK - timedelta(days=1):%Y-%m-%d}"
    arguments = ["--from", f"{CLOCK - timedelta(days=days):%Y-%m-%d}", "--to", until, "--as-of", iso(to_ms(CLOCK))]
    walls, tables = [], []
    with (
        temporary() as folder,
        emulator(Settings(home=folder, limits_scale=limits_scale), to_ms(CLOCK), days + 40) as attached,
    ):
        variables = {"PERPLAKE_EMULATOR_URL": attached.emulator.url, "PERPLAKE_LIMITS_SCALE": f"{limits_scale}"}
        _perps(["fetch", "--venues", "kraken", *arguments], folder / "first", variables).wait()  # the emulator makes its market
        for count in (1, workers):
            with servers(folder / f"{count}") as running:
                os.environ.update(running.environment)
                began, used = time.monotonic(), _of_processor()
                processes = [
                    _perps(
                        ["backfill", "--yes", "--venues", ",".join(VENUES[n::count]), *arguments],
                        folder / f"home-{count}-{n}",
                        variables,
                    )
                    for n in range(count)
                ]
                if any(process.wait() for process in processes):
                    raise RuntimeError(f"a backfill failed: {folder}")
                walls.append(time.monotonic() - began)
                tables.append(_raw(folder / f"home-{count}-0" / MARKET / "warehouse.lake"))
                typer.echo(f"{count} worker(s): {walls[-1]:.0f} s, {_of_processor() - used:.0f} s of processor")
                for name in running.environment:
                    del os.environ[name]
    typer.echo(f"{days} days, {sum(rows for rows, _ in tables[0].values()):,} rows: {walls[1] / walls[0]:.2f} times as long")
    wrong = [name for name in tables[0] if tables[0][name] != tables[1].get(name)]
    typer.echo(f"tables that differ: {', '.join(wrong) or 'none'}")
    raise typer.Exit(bool(wrong))


def _perps(arguments: Sequence[str], home: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    home.mkdir(parents=True)
    command = [str(Path(sys.executable).with_name("perps")), *arguments]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(command, env={**os.environ, **variables, "PERPLAKE_HOME": str(home)}, stdout=log, stderr=log)


def _of_processor() -> float:
    """Seconds of processor of all workers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _raw(lake: Path) -> dict[str, tuple[int, int]]:
    """Rows and checksum of each raw table, but for when and in which run they were asked for."""
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as db:
        ducklake.attach(db, lake, name="lake", read_only=True)
        found = {}
        for table, names in columns(db, "lake", "raw").items():
            found[table] = checksum(db, f'lake.raw."{table}"', [name for name in names if not name.startswith("_")])
    return found


if __name__ == "__main__":
    typer.run(main)
