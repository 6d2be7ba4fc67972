"""Readers of a lake while runs publish: is anyone refused, does anyone see tables of two publications at once?

    perps run, day after day ──► publications ◄── N readers, each: which run is published? its rows, table by table

A reader asks in one session for the run that published, and then for rows and checksums of some marts. All answers about one run
have to be the same, whoever asked and when; an error counts as a refusal.

Alone: `python -m infra.bench.readers --readers 20 --runs 6`.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import defaultdict
from datetime import date, timedelta
from multiprocessing.synchronize import Event
from typing import Annotated, Any

import typer

from infra.bench.lake import timed
from infra.lake import servers, temporary

FIRST = date(2025, 6, 1)
TABLES = ("daily_assets", "daily_venues", "regime_labels", "fct_candles", "coverage_daily")
#: Threads of one process, each with a database of its own.
THREADS = 5


def read(home: str, threads: int, stop: Event, answers: Any) -> None:
    """Ask again and again from several threads; gives the answers by run, their number, and the refusals."""
    import perplake

    found: dict[str, set[Any]] = defaultdict(set)
    refused: list[str] = []
    asked = [0]

    def ask() -> None:
        while not stop.is_set():
            try:
                lake = perplake.open(home, mode="synthetic")
                while not stop.is_set():
                    with lake.session() as db:
                        (run,) = db.execute("SELECT run FROM meta.published").fetchall()[0]
                        rows = []
                        for table in TABLES:
                            rows += db.execute(f"SELECT count(*), sum(hash(t)::HUGEINT) FROM marts.{table} AS t").fetchall()
                    found[run].add(tuple(rows))
                    asked[0] += 1
            except Exception as problem:
                refused.append(f"{type(problem).__name__}: {problem}"[:200])

    own = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()
    answers.put((dict(found), asked[0], refused))


def main(
    readers: Annotated[int, typer.Option(help="readers at once")] = 20,
    runs: Annotated[int, typer.Option(help="runs, one a day of data")] = 6,
) -> None:
    """Read while runs publish; exit status 1 where a reader was refused or saw two publications at once."""
    with temporary() as folder, servers(folder / "servers") as running:
        os.environ.update(running.environment)
        context = multiprocessing.get_context("spawn")
        stop, answers = context.Event(), context.Queue()
        own = [
            context.Process(target=read, args=(str(folder / "home"), THREADS, stop, answers)) for _ in range(readers // THREADS)
        ]
        began = time.monotonic()
        for number in range(runs + 1):
            day = f"{FIRST + timedelta(days=number)}"
            seconds = timed(["--from", day, "--to", day, "--as-of", f"{FIRST + timedelta(days=20)}T00:00:00Z"], folder / "home")
            if not number:
                began = time.monotonic()
                for process in own:
                    process.start()
            else:
                typer.echo(f"run {number} took {seconds:.0f} s")
        taken = time.monotonic() - began
        stop.set()
        found: dict[str, set[Any]] = defaultdict(set)
        asked, refused = 0, []
        for _ in own:
            by_run, count, problems = answers.get()
            asked += count
            refused += problems
            for run, rows in by_run.items():
                found[run] |= rows
        for process in own:
            process.join()
    mixed = sum(len(rows) > 1 for rows in found.values())
    typer.echo(
        f"{len(own) * THREADS} readers asked {asked:,} times in {taken / 60:.1f} minutes of {runs} runs: "
        f"{len(refused)} refusals; "
        f"{len(found)} publications seen, {mixed} of them with other rows at another time"
    )
    typer.echo("\n".join(sorted(set(refused))[:10]))
    raise typer.Exit(bool(refused or mixed))


if __name__ == "__main__":
    typer.run(main)
