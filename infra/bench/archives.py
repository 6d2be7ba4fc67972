"""An archive's files to raw tables, compared with DuckDB that reads the same zipped CSVs into typed tables.

`files` makes landing and zips of Binance's layout: hourly bars of three kinds by month, open interest each five minutes by day.
`ours` loads that landing into a new warehouse; `duckdb` unpacks the zips into a folder in memory and reads each kind by one
`read_csv` with given types. Each prints rows and seconds as JSON; imports and a warm-up are not timed.

Alone: `python -m infra.bench.archives files HOME 10 365`, `python -m infra.bench.archives ours HOME FOLDER`,
`python -m infra.bench.archives duckdb HOME FOLDER`.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb as database
import numpy as np
import typer

from infra.bench.ours import warm_up
from pipelines.clock import Clock
from pipelines.landing import Entry
from pipelines.load import load
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.sources import get_source
from pipelines.sources.binance_usdm_archive import BAR, METRICS
from pipelines.windows import DAY, HOUR, Window, iso

app = typer.Typer()
START = 1_672_531_200_000  # 2023-01-01T00:00Z
SOURCE = "binance_usdm_archive"
BARS = ("candles", "mark_candles", "index_candles")
MONTH = 30
TYPES = {
    "bars": dict.fromkeys(BAR, "DOUBLE") | dict.fromkeys(("open_time", "close_time", "count"), "BIGINT"),
    "metrics": dict.fromkeys(METRICS, "DOUBLE") | {"create_time": "TIMESTAMP", "symbol": "VARCHAR"},
}


def _run(home: Path, days: int, warehouse: Path | None = None) -> Run:
    window = Window(START, START + days * DAY)
    settings = Settings(home=home, landing_max_gb=1000, warehouse=warehouse, assets=["all"])
    return Run.begin(settings, window, Clock(window.end + DAY), None)


def _made(instruments: int, days: int) -> Iterator[tuple[str, str, Window, str]]:
    """Endpoint, symbol, window and content of each file."""
    random = np.random.default_rng(1)
    for symbol in (f"C{number}USDT" for number in range(instruments)):
        for start in range(START, START + days * DAY, DAY):
            rows = [
                f"{iso(start + n * 300_000)[:-1].replace('T', ' ')},{symbol},{a:.8f},{b:.8f},{c:.8f},{c:.8f},{c:.8f},{c:.8f}"
                for n, (a, b, c) in enumerate((random.random((288, 3)) * (1e5, 1e9, 2)).tolist())
            ]
            yield "open_interest", symbol, Window(start, start + DAY), "\n".join([",".join(METRICS), *rows, ""])
        for endpoint in BARS:
            for month in Window(START, START + days * DAY).chunks(MONTH * DAY):
                prices = (random.random(((month.end - month.start) // HOUR, 2)) * 1000).tolist()
                rows = [
                    f"{at},{p:.2f},{p:.2f},{p:.2f},{p:.2f},{v:.3f},{at + HOUR - 1},{p * v:.5f},123,{v:.3f},{p:.5f},0"
                    for at, (p, v) in zip(range(month.start, month.end, HOUR), prices, strict=True)
                ]
                yield endpoint, symbol, month, "\n".join([",".join(BAR), *rows, ""])


@app.command()
def files(home: Path, instruments: int, days: int) -> None:
    run, count = _run(home, days), 0
    for count, (endpoint, symbol, window, content) in enumerate(_made(instruments, days), 1):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("file.csv", content)
        body, folder = packed.getvalue(), home / "zips" / endpoint
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{count}.zip").write_bytes(body)
        entry = Entry(
            run=run.id,
            source=SOURCE,
            endpoint_name=endpoint,
            market=run.settings.market,
            method="GET",
            url="",
            path_label=f"/{count}",
            context={"symbol": symbol},
            window=(window.start, window.end),
            observed_at=run.clock.now(),
            status=200,
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            final=True,
            last=True,
            whole=True,
        )
        run.landing.put(entry, body)
    run.landing.flush()
    (home / "days").write_text(str(days))
    typer.echo(json.dumps({"files": count}))


@app.command()
def ours(home: Path, folder: Path) -> None:
    warm_up(folder)
    run = _run(home, int((home / "days").read_text()), folder / "warehouse.duckdb")
    begun = time.perf_counter()
    result = load(run, get_source(SOURCE))
    typer.echo(json.dumps({"rows": sum(result.rows.values()), "seconds": time.perf_counter() - begun}))


@app.command()
def duckdb(home: Path, folder: Path) -> None:
    begun, rows = time.perf_counter(), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, database.connect(str(folder / "duck.duckdb")) as connection:
        for kind in ("open_interest", *BARS):
            unpacked = Path(memory) / kind
            unpacked.mkdir()
            for file in (home / "zips" / kind).iterdir():
                with zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as content:
                    (unpacked / f"{file.stem}.csv").write_bytes(content.read())
            columns = TYPES["bars" if kind in BARS else "metrics"]
            connection.execute(f"CREATE TABLE {kind} AS FROM read_csv('{unpacked}/*.csv', header = true, columns = {columns})")
            found = connection.execute(f"SELECT count(*) FROM {kind}").fetchone()
            rows += found[0] if found else 0
            shutil.rmtree(unpacked)
    typer.echo(json.dumps({"rows": rows, "seconds": time.perf_counter() - begun}))


if __name__ == "__main__":
    app()
