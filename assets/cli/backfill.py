"""`perps backfill`: years of history, from archives where there are, planned before anything is requested."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from assets.cli.base import command
from assets.cli.options import RUN
from assets.cli.run import progress_bars
from assets.runtime.interrupts import raise_noticed
from pipelines.settings import Settings


@command(*RUN, "refetch")
def backfill(
    settings: Settings,
    prefer: Annotated[str, typer.Option(help="`archive`: files where there are, REST else; `rest`: REST alone")] = "archive",
    plan: Annotated[bool, typer.Option("--plan", help="print the plan, and end")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="don't ask before fetching")] = False,
) -> None:
    """Fetch and load a long window, a quarter of a year at a time, from the newest back; the next `perps run` transforms it.

    First the plan: what comes from which archive and what by REST, requests, bytes, and the time at the venues' limits. Stopped,
    it goes on where it stopped. Exit status 1 when a request failed or a page could not be read: the same command asks again.
    """
    from assets.cli import printing
    from assets.runtime.job import prepared
    from assets.runtime.stages import fetch_problems, load_chosen
    from pipelines import backfill as filling
    from pipelines import warehouse

    if prefer not in ("archive", "rest"):
        raise ValueError(f"--prefer {prefer}: it is `archive` or `rest`")
    if settings.mode == "replay":
        raise ValueError("replay requests nothing: `perps load --mode replay` merges what landing has")
    with prepared(filling.with_archives(settings) if prefer == "archive" else settings) as ready:
        run = ready.begin()
        sources, notes = run.chosen_sources()
        parts, planned = filling.parts(run.window), dict[tuple[str, str], filling.Planned]()
        left = []  # by part, what landing lacks
        for part in parts:
            before = sum(line.requests - line.known for line in planned.values())
            found = asyncio.run(filling.plan_part(run, sources, part, planned))
            notes += [line for result in found for line in [*result.warnings, *map(str, result.failures)]]
            left.append(sum(line.requests - line.known for line in planned.values()) - before)
        printing.backfill_plan(run, list(planned.values()), filling.estimate(planned.values(), run.settings.scale), notes)
        if plan:
            return
        if not yes:
            typer.confirm(f"Fetch and load {len(parts)} parts into {run.settings.folder}?", abort=True)
        failed = 0
        with warehouse.one_writer(run.settings.database, [source.name for source in sources]):
            for number, part in enumerate(parts, 1):
                raise_noticed()  # of the load before
                with progress_bars() as progress:
                    results = asyncio.run(filling.fetch_part(run, sources, part, progress))
                raise_noticed()
                loaded = load_chosen(replace(run, window=part), sources, {result.source: result.entries for result in results})
                problems = [problem for result in results for problem in fetch_problems(result)]
                failed += len(problems)
                printing.backfill_part(part, results, list(loaded.values()), problems, sum(left[number:]), len(parts) - number)
            raise_noticed()
    typer.echo("loaded; `perps run` transforms and publishes it")
    raise typer.Exit(1 if failed else 0)
