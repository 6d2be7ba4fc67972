"""The contender of this project: Binance candles through `pipelines.fetch` and `pipelines.load` into a new DuckDB file.

`backfill` requests them from the emulator, `replay` loads that landing again without a server. Each prints rows and seconds as
JSON; imports and a warm-up are not timed, as for the peers.

Alone: `python -m infra.bench.ours backfill URL HOURS HOME`, `python -m infra.bench.ours replay HOURS HOME FOLDER`.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import typer

from infra.bench.market import START, BenchMarket
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.fetch import fetch
from pipelines.load import LoadResult, _dlt, load
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Source
from pipelines.sources import get_source
from pipelines.windows import HOUR, Window

app = typer.Typer()


def only(name: str, *datasets: str) -> Source:
    """A source with some of its endpoints."""
    whole = get_source(name)
    return replace(whole, endpoints=tuple(whole.endpoint(dataset) for dataset in datasets))


def begin(home: Path, hours: int, url: str | None, scale: float, warehouse: Path | None = None) -> Run:
    """A run over the whole market of the benchmark."""
    end = START + hours * HOUR
    settings = Settings(home=home, assets=["all"], emulator_url=url, limits_scale=scale, warehouse=warehouse)
    return Run.begin(settings, Window(START, end), Clock(end), EmulatorInfo(url, BenchMarket.origin) if url else None)


def warm_up(home: Path) -> None:
    """One-time work of a process, such as dlt's imports at its first run; not timed, as for the peers."""
    run = begin(home / "warm", 0, None, 1e6)
    dlt = _dlt()
    pipeline = dlt.pipeline(
        pipeline_name="warm",
        pipelines_dir=str(home / "warm"),
        destination=dlt.destinations.duckdb(str(home / "warm.duckdb")),
    )
    pipeline.run(dlt.resource([pa.table({"n": [1]})], name="warm"), loader_file_format="parquet")
    with warehouse.connect(run.settings.database) as connection:
        warehouse.prepare(connection, run.settings.market)


def _report(loaded: LoadResult, seconds: float) -> None:
    typer.echo(json.dumps({"rows": loaded.rows["candles"], "seconds": seconds}))


@app.command()
def backfill(url: str, hours: int, home: Path) -> None:
    """From HTTP to the raw table."""
    candles, run = only("binance_usdm", "instruments", "candles"), begin(home, hours, url, 1e6)
    warm_up(home)
    begun = time.perf_counter()
    (fetched,) = asyncio.run(fetch(run, [candles]))
    loaded = load(run, candles, fetched.entries)
    _report(loaded, time.perf_counter() - begun)


@app.command()
def replay(hours: int, home: Path, folder: Path) -> None:
    """From the landing in a home to the raw table of a new warehouse in a folder."""
    candles, run = only("binance_usdm", "instruments", "candles"), begin(home, hours, None, 1e6, folder / "replayed.duckdb")
    warm_up(folder)
    begun = time.perf_counter()
    loaded = load(run, candles)
    _report(loaded, time.perf_counter() - begun)


if __name__ == "__main__":
    app()
