"""Workers that load into one lake, are killed, and lose PostgreSQL and S3: is it exact at the end, does anything hang?

    landing (S3) ──► N processes, each loads overlapping windows of sources in turn ──► raw tables = those of a file

Each worker loads `loads` windows, of another source each time, and there are as many sources as workers: several want the same
raw tables at once. One worker is killed (SIGKILL) every `kill_every` seconds, and another goes on in its place. PostgreSQL is
stopped as by a crash after a sixth of the loads and started `outage` seconds later, S3 after half of them. A load that fails is
tried again. At the end every raw table has to have the rows of a file into which all of landing was loaded once, and no lock
may be held.

Alone: `python -m infra.bench.workers measure --workers 8 --loads 20`.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Annotated

import duckdb
import typer

from infra.bench.lake import perps
from infra.compare import checksum, columns
from infra.lake import Servers, servers, temporary
from pipelines import ducklake
from pipelines.meta_tables import quoted

VENUES = ("binance", "bybit", "hyperliquid", "kraken", "okx", "gate", "deribit", "bitget")
FIRST, DAYS = date(2025, 6, 1), 8
WINDOW = ["--from", f"{FIRST}", "--to", f"{FIRST + timedelta(days=DAYS - 1)}", "--as-of", "2025-06-10T00:00:00Z"]
MARKET = "synthetic-7"

app = typer.Typer(add_completion=False)


@app.command()
def work(number: int, workers: int, loads: int, home: Path) -> None:
    """One worker: the loads that its log lacks, each tried until it succeeds; the last one is of all days of a source."""
    from assets.runtime.job import from_landing
    from assets.runtime.stages import load_chosen
    from pipelines import warehouse
    from pipelines.settings import Settings
    from pipelines.sources import get_source

    log, venues = home / f"worker-{number}.txt", VENUES[:workers]
    for at in range(len(log.read_text().splitlines()) if log.exists() else 0, loads):
        first = at % DAYS if at < loads - 1 else 0
        last = min(DAYS - 1, first + (at + number) % 4) if at < loads - 1 else DAYS - 1
        settings = Settings(
            home=home,
            mode="replay",
            venues=[venues[(number + (at if at < loads - 1 else 0)) % len(venues)]],
            first=FIRST + timedelta(days=first),
            last=FIRST + timedelta(days=last),
        )
        began, failures = time.monotonic(), 0
        while True:
            try:
                ready = from_landing(settings)
                sources = [get_source(name) for name in ready.settings.sources]
                with warehouse.one_writer(ready.settings.database, [source.name for source in sources]):
                    load_chosen(ready.begin(), sources, {})
                break
            except Exception as problem:  # what a scheduler would start again
                failures += 1
                typer.echo(f"{time.strftime('%X')} worker {number}, load {at}: {type(problem).__name__}: {problem}"[:300])
                time.sleep(1)
        with log.open("a") as file:
            file.write(f"{time.monotonic() - began:.1f} {failures}\n")


@app.command()
def measure(
    workers: Annotated[int, typer.Option(help="processes that load")] = 8,
    loads: Annotated[int, typer.Option(help="loads of each")] = 20,
    kill_every: Annotated[float, typer.Option(help="seconds from one kill to the next")] = 60,
    outage: Annotated[float, typer.Option(help="seconds for which a server is away")] = 30,
) -> None:
    """Load with all workers, and compare with a file. Exit status 1 where something differs or hangs."""
    with temporary() as folder, servers(folder / "servers") as running:
        os.environ.update(running.environment)
        perps(["fetch", "--venues", ",".join(VENUES[:workers]), *WINDOW], folder / "lake", {"PERPLAKE_PROFILE": "lake"})
        perps(["load", "--mode", "replay"], folder / "file", {"PERPLAKE_PROFILE": "file"})
        seconds, kills, failed = _load(running, folder / "lake", workers, loads, kill_every, outage)
        taken = [line.split() for log in (folder / "lake").glob("worker-*.txt") for line in log.read_text().splitlines()]
        took = sorted(float(line[0]) for line in taken)
        typer.echo(
            f"{len(taken)} of {workers * loads} loads by {workers} workers in {seconds:.0f} s, {kills} kills, "
            f"PostgreSQL and S3 each away for {outage:g} s; a load took {median(took):.1f} s, the longest {took[-1]:.1f} s; "
            f"{sum(int(line[1]) for line in taken)} were tried again"
        )
        wrong = _differing(folder / "file" / MARKET / "warehouse.duckdb", folder / "lake" / MARKET / "warehouse.lake")
        with ducklake.connected(autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            ((locks,),) = cursor.fetchall()
    typer.echo("\n".join(wrong) or "every raw table has the rows of a file that was loaded once")
    typer.echo(f"{locks} locks are held")
    raise typer.Exit(bool(wrong or locks or failed or len(taken) < workers * loads))


def _load(running: Servers, home: Path, workers: int, loads: int, kill_every: float, outage: float) -> tuple[float, int, bool]:
    """Run the workers to their end; the seconds, the kills, and whether a worker failed or nothing moved for ten minutes."""

    def start(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "infra.bench.workers", "work", *map(str, (number, workers, loads, home))])

    def done() -> int:
        return sum(len(log.read_text().splitlines()) for log in home.glob("worker-*.txt"))

    began, chosen = time.monotonic(), random.Random(7)
    processes = {number: start(number) for number in range(workers)}
    kills, moved, last = 0, began, 0
    events: list[tuple[int, Callable[[], None], Callable[[], None]]] = [
        (workers * loads // 6, running.postgres.stop, running.postgres.start),
        (workers * loads // 2, running.s3.stop, running.s3.start),
    ]
    back: tuple[float, Callable[[], None]] | None = None
    while any(process.poll() is None for process in processes.values()):
        time.sleep(0.5)
        now, count = time.monotonic(), done()
        if count != last:
            moved, last = now, count
        if now - moved > 600:
            for process in processes.values():
                process.kill()
            return now - began, kills, True
        if back and now >= back[0]:
            back[1]()
            back = None
        elif events and not back and count >= events[0][0]:
            _, stop, again = events.pop(0)
            stop()
            back = now + outage, again
        alive = [number for number, process in processes.items() if process.poll() is None]
        if alive and now - began > kill_every * (kills + 1):
            kills, victim = kills + 1, chosen.choice(alive)
            processes[victim].kill()
            processes[victim].wait()
            processes[victim] = start(victim)
    return time.monotonic() - began, kills, bool(events or any(process.returncode for process in processes.values()))


def _differing(file: Path, lake: Path) -> list[str]:
    """The raw tables that are not those of a file."""
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as db:
        db.execute(f"ATTACH {quoted(str(file))} AS old (READ_ONLY)")
        ducklake.attach(db, lake, name="new", read_only=True)
        found = {}
        for table, names in columns(db, "old", "raw").items():
            if not table.startswith("_"):
                found[table] = [checksum(db, f'{name}.raw."{table}"', names) for name in ("old", "new")]
    typer.echo(f"{sum(of_file[0] for of_file, _ in found.values()):,} rows in {len(found)} raw tables")
    return [f"{table}: {one[0]:,} rows and {other[0]:,}" for table, (one, other) in found.items() if one != other]


if __name__ == "__main__":
    app()
