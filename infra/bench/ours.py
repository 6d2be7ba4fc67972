"""Ours: the real path of Binance candles, `pipelines.fetch.fetch` and `pipelines.load.load`, into a fresh DuckDB file.

`python -m infra.bench.ours backfill URL HOURS HOME` asks the emulator, `… replay HOURS HOME FOLDER` loads that landing once
more, with no server. Each prints rows and seconds as JSON; imports and a warm-up are not timed, for the peers neither.
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
    """A source with some of its datasets."""
    whole = get_source(name)
    return replace(whole, endpoints=tuple(whole.endpoint(dataset) for dataset in datasets))


def begin(home: Path, hours: int, url: str | None, scale: float, warehouse: Path | None = None) -> Run:
    """A run over the bench's whole market."""
    end = START + hours * HOUR
    settings = Settings(home=home, assets=["all"], emulator_url=url, limits_scale=scale, warehouse=warehouse)
    return Run.begin(settings, Window(START, end), Clock(end), EmulatorInfo(url, BenchMarket.origin) if url else None)


def warm_up(home: Path) -> None:
    """What a process pays once, whatever it loads (dlt imports much at its first run): not timed, for the peers neither."""
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
    of, run = only("binance_usdm", "instruments", "candles"), begin(home, hours, url, 1e6)
    warm_up(home)
    begun = time.perf_counter()
    (fetched,) = asyncio.run(fetch(run, [of]))
    loaded = load(run, of, fetched.entries)
    _report(loaded, time.perf_counter() - begun)


@app.command()
def replay(hours: int, home: Path, folder: Path) -> None:
    """From the landing in a home to the raw table of a new warehouse in a folder."""
    of, run = only("binance_usdm", "instruments", "candles"), begin(home, hours, None, 1e6, folder / "replayed.duckdb")
    warm_up(folder)
    begun = time.perf_counter()
    loaded = load(run, of)
    _report(loaded, time.perf_counter() - begun)


if __name__ == "__main__":
    app()
