"""`perps run`, `perps fetch`, `perps load`: the main job, and its first two steps alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from assets.cli import options
from assets.cli.base import app, expected_errors, settings_of

if TYPE_CHECKING:
    from pipelines.fetch import Progress


@contextmanager
def _progress_bars() -> Iterator[Progress]:
    """A bar for each source."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from assets.cli.printing import console

    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def show(source: str, done: int, total: int) -> None:
            if source not in tasks:
                tasks[source] = bars.add_task(source)
            bars.update(tasks[source], completed=done, total=total)

        yield show


@app.command()
def run(
    mode: options.Mode = None,
    venues: options.Venues = None,
    assets: options.Assets = None,
    first: options.First = None,
    last: options.Last = None,
    days: options.Days = None,
    as_of: options.AsOf = None,
    home: options.Home = None,
    warehouse: options.Warehouse = None,
    landing: options.Landing = None,
    seed: options.Seed = None,
    refetch: options.Refetch = False,
    forecasts: options.Forecasts = False,
) -> None:
    """The main job: fetch, load, transform, label, check, publish, report.

    Without options: the synthetic market, 8 assets, the last 120 days, from a venue emulator on loopback. Exit status 1 when a
    step or a blocking check fails or part of the window could not be fetched; run again, and it goes on where it stopped.
    """
    with expected_errors():
        settings = settings_of(
            mode=mode, venues=venues, assets=assets, first=first, last=last, days=days, as_of=as_of, home=home,
            warehouse=warehouse, landing=landing, seed=seed, refetch=refetch, forecasts=forecasts,
        )  # fmt: skip
        with _progress_bars() as progress:
            from assets.definitions import main_job
            from assets.runtime.job import run as run_job

            outcome = run_job(settings, main_job, progress)
        from assets.cli import printing

        printing.run_end(outcome)
    raise typer.Exit(0 if outcome.succeeded else 1)


@app.command()
def fetch(
    mode: options.Mode = None,
    venues: options.Venues = None,
    assets: options.Assets = None,
    first: options.First = None,
    last: options.Last = None,
    days: options.Days = None,
    as_of: options.AsOf = None,
    home: options.Home = None,
    warehouse: options.Warehouse = None,
    landing: options.Landing = None,
    seed: options.Seed = None,
    refetch: options.Refetch = False,
) -> None:
    """Request a window from the chosen sources and write the responses into landing; nothing else is written.

    Exit status 1 when a request failed or a page could not be read; `perps load` merges the rest all the same.
    """
    import asyncio

    from assets.cli import printing
    from assets.runtime.job import prepared
    from pipelines import fetch as pipeline

    with expected_errors():
        settings = settings_of(
            mode=mode, venues=venues, assets=assets, first=first, last=last, days=days, as_of=as_of, home=home,
            warehouse=warehouse, landing=landing, seed=seed, refetch=refetch,
        )  # fmt: skip
        if settings.mode == "replay":
            raise ValueError("replay requests nothing: `perps load --mode replay` merges what landing has")
        with prepared(settings) as ready:
            of_run = ready.begin()
            sources, notes = of_run.chosen_sources()
            with _progress_bars() as progress:
                results = asyncio.run(pipeline.fetch(of_run, sources, progress))
        problems = printing.fetch_end(of_run, results, notes)
    raise typer.Exit(1 if problems else 0)


@app.command()
def load(
    mode: options.Mode = None,
    venues: options.Venues = None,
    assets: options.Assets = None,
    first: options.First = None,
    last: options.Last = None,
    days: options.Days = None,
    as_of: options.AsOf = None,
    home: options.Home = None,
    warehouse: options.Warehouse = None,
    landing: options.Landing = None,
    seed: options.Seed = None,
) -> None:
    """Merge what landing has of a window into the raw tables; nothing is requested. Without a window: all that landing has.

    The next `perps run` transforms it. Exit status 1 when a page could not be read.
    """
    from assets.cli import printing
    from assets.runtime.job import from_landing
    from assets.runtime.stages import load_source
    from pipelines import warehouse as file
    from pipelines.sources import get_source

    with expected_errors():
        settings = settings_of(
            mode=mode, venues=venues, assets=assets, first=first, last=last, days=days, as_of=as_of, home=home,
            warehouse=warehouse, landing=landing, seed=seed,
        )  # fmt: skip
        ready = from_landing(settings)
        of_run = ready.begin()
        entries = list(of_run.landing.iterate())
        with file.one_writer(ready.settings.database):
            results = [load_source(of_run, get_source(name), entries) for name in ready.settings.sources]
        printing.load_end(of_run, results)
    raise typer.Exit(1 if any(result.quarantined for result in results) else 0)
