"""Readers of a lake while runs publish: is anyone refused, does anyone see tables of two publications at once?

    perps run, day after day ──► publications ◄── N readers, each: which run is published? its rows, table by table

A reader asks in one session for the run that published, and then for rows and checksums of some marts; then it pauses. All
answers about one run have to be the same, whoever asked and when; an error counts as a refusal. Runs follow each other at once,
or begin every so many minutes (`--every`).

Alone: `python -m infra.bench.readers --readers 20 --minutes 60 --every 10`.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import defaultdict
from datetime import date, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from infra.bench.lake import timed
from infra.lake import servers, temporary

FIRST = date(2025, 6, 1)
TABLES = ("daily_assets", "daily_venues", "regime_labels", "fct_candles", "coverage_daily")
#: Threads of one process, each with a database of its own.
THREADS = 5


def read(home: str, threads: int, pause: float, stop: Event, answers: Any) -> None:
    """Ask again and again from several threads; gives the answers by run, the seconds of each, and the refusals."""
    import perplake

    found: dict[str, set[Any]] = defaultdict(set)
    refused: list[str] = []
    seconds: list[float] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                lake = perplake.open(home, mode="synthetic")
                while not stop.is_set():
                    began = time.monotonic()
                    with lake.session() as db:
                        (run,) = db.execute("SELECT run FROM meta.published").fetchall()[0]
                        rows = []
                        for table in TABLES:
                            rows += db.execute(f"SELECT count(*), sum(hash(t)::HUGEINT) FROM marts.{table} AS t").fetchall()
                    found[run].add(tuple(rows))
                    seconds.append(time.monotonic() - began)
                    stop.wait(pause)
            except Exception as problem:
                refused.append(f"{type(problem).__name__}: {problem}"[:200])
                stop.wait(pause)

    own = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()
    answers.put((dict(found), seconds, refused))


def main(
    readers: Annotated[int, typer.Option(help="readers at once")] = 20,
    minutes: Annotated[float, typer.Option(help="for which runs follow each other")] = 60,
    every: Annotated[float, typer.Option(help="minutes from the start of a run to that of the next, at least")] = 0,
    pause: Annotated[float, typer.Option(help="seconds from a reader's answer to its next question")] = 5,
) -> None:
    """Read while runs publish; exit status 1 where a reader was refused or saw two publications at once."""
    with temporary() as folder, servers(folder / "servers") as running:
        os.environ.update(running.environment)
        home, taken = folder / "home", [_day(folder / "home", 0)]
        typer.echo(f"a run without readers took {taken[0]:.0f} s")
        context = multiprocessing.get_context("spawn")
        stop, answers = context.Event(), context.Queue()
        own = [context.Process(target=read, args=(str(home), THREADS, pause, stop, answers)) for _ in range(readers // THREADS)]
        for process in own:
            process.start()
        began = time.monotonic()
        try:
            while time.monotonic() - began < minutes * 60:
                taken.append(_day(home, len(taken)))
                typer.echo(f"run {len(taken) - 1} took {taken[-1]:.0f} s")
                time.sleep(max(0.0, min(every, minutes) * 60 - taken[-1]))
        finally:
            lasted = time.monotonic() - began
            stop.set()
            found: dict[str, set[Any]] = defaultdict(set)
            seconds: list[float] = []
            refused: list[str] = []
            for _ in own:
                by_run, times, problems = answers.get()
                seconds += times
                refused += problems
                for run, rows in by_run.items():
                    found[run] |= rows
            for process in own:
                process.join()
    mixed = sum(len(rows) > 1 for rows in found.values())
    typer.echo(
        f"{len(own) * THREADS} readers asked {len(seconds):,} times in {lasted / 60:.1f} minutes of {len(taken) - 1} runs of "
        f"{median(taken[1:]):.0f} s: {len(refused)} refusals; an answer took {median(seconds):.2f} s, "
        f"the longest {max(seconds):.1f} s; {len(found)} publications seen, {mixed} of them with other rows at another time"
    )
    typer.echo("\n".join(sorted(set(refused))[:10]))
    raise typer.Exit(bool(refused or mixed))


def _day(home: Path, number: int) -> float:
    """Run for the next day; the seconds."""
    day = f"{FIRST + timedelta(days=number)}"
    return timed(["--from", day, "--to", day, "--as-of", f"{FIRST + timedelta(days=number + 2)}T00:00:00Z"], home)


if __name__ == "__main__":
    typer.run(main)
