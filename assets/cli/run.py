"""`perps run`, `perps fetch`, `perps load`: the main job, and its first two steps alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from assets.cli.base import command
from assets.cli.options import RUN
from pipelines.settings import Settings

if TYPE_CHECKING:
    from assets.runtime.job import JobOf
    from pipelines.fetch import Progress


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar for each source."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from assets.cli.printing import console

    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=console.is_terminal, refresh_per_second=4) as bars:
        tasks: dict[str, Any] = {}

        def show(source: str, done: int, total: int) -> None:
            if source not in tasks:
                tasks[source] = bars.add_task(source)
            bars.update(tasks[source], completed=done, total=total)

        yield show


def _main_job() -> JobOf:
    from assets.definitions import main_job  # seconds of imports, in which the emulator starts

    return main_job


@command(*RUN, "refetch", "forecasts")
def run(settings: Settings) -> None:
    """The main job: fetch, load, transform, label, check, publish, report.

    Without options: the synthetic market, 8 assets, the last 120 days, from a venue emulator on loopback. Exit status 1 when a
    step or a blocking check fails or part of the window could not be fetched; run again, and it goes on where it stopped.
    """
    from assets.cli import printing

    with progress_bars() as progress:
        from assets.runtime.job import run as run_job

        outcome = run_job(settings, _main_job, progress)
    printing.run_end(outcome)
    raise typer.Exit(0 if outcome.succeeded else 1)


@command(*RUN, "refetch")
def fetch(settings: Settings) -> None:
    """Request a window from the chosen sources and write the responses into landing; nothing else is written.

    Exit status 1 when a request failed or a page could not be read; `perps load` merges the rest all the same.
    """
    import asyncio

    from assets.cli import printing
    from assets.runtime.job import prepared
    from pipelines import fetch as pipeline

    if settings.mode == "replay":
        raise ValueError("replay requests nothing: `perps load --mode replay` merges what landing has")
    with prepared(settings) as ready:
        run = ready.begin()
        sources, notes = run.chosen_sources()
        with progress_bars() as progress:
            results = asyncio.run(pipeline.fetch(run, sources, progress))
    problems = printing.fetch_end(run, results, notes)
    raise typer.Exit(1 if problems else 0)


@command(*RUN)
def load(settings: Settings) -> None:
    """Merge what landing has of a window into the raw tables; nothing is requested. Without a window: all that landing has.

    The next `perps run` transforms it. Exit status 1 when a page could not be read that may still be requested again.
    """
    from assets.cli import printing
    from assets.runtime.job import from_landing
    from assets.runtime.stages import load_chosen
    from pipelines import warehouse
    from pipelines.sources import get_source

    ready = from_landing(settings)
    run = ready.begin()
    with warehouse.one_writer(ready.settings.database, ready.settings.sources):
        results = list(load_chosen(run, [get_source(name) for name in ready.settings.sources], {}).values())
    printing.load_end(run, results)
    raise typer.Exit(1 if any(result.quarantined for result in results) else 0)
