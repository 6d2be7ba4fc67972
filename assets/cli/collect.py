"""`perps collect`: hear the venues' streams of liquidations for weeks, and see how that goes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from assets.cli.base import PlainFormatter, command
from assets.cli.formats import Format, write_rows
from pipelines.errors import printable
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.run import Run

#: What a collector and its status are about.
_ABOUT = ("mode", "venues", "assets", "home", "landing", "seed")


@command(*_ABOUT)
def collect(
    settings: Settings,
    status: Annotated[bool, typer.Option("--status", help="print how the collectors of this market go, and end")] = False,
    format: Annotated[Format, typer.Option("--format", help="how `--status` prints")] = Format.table,
) -> None:
    """Hear what venues send once and don't keep, until Ctrl-C or SIGTERM; `perps run` loads it, or a sensor in the UI.

    Streams of all instruments, or of those of `--assets`; polled are the assets in the settings. Exit status 1 of `--status`
    when no collector runs or one isn't well.
    """
    from assets.cli import printing
    from pipelines.collect.collector import root

    if status:
        from pipelines.collect.watching import states

        found = states(root(settings))
        if format is Format.table:
            printing.collectors(found)
        else:
            write_rows(printing.collector_rows(found), format)
        raise typer.Exit(0 if any(lives for _, lives in found) and all(s["healthy"] for s, lives in found if lives) else 1)
    if settings.mode not in ("live", "synthetic"):
        raise ValueError(f"mode {settings.mode!r} has no streams: `perps collect --mode live`, or `--mode synthetic` to try it")
    _log_to_stderr()
    with _begun(settings) as run:
        left = asyncio.run(_collect(run))
    if left:  # the thread that seals hangs on a storage: the next collector seals what waits
        logging.shutdown()
        os._exit(0)


def _log_to_stderr() -> None:
    """A line a minute, and what goes wrong, whatever the level of the other loggers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("perplake.collect")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


@contextmanager
def _begun(settings: Settings) -> Iterator[Run]:
    """A run at the venues, or at an emulator whose clock goes on."""
    from assets.runtime.emulator import emulator
    from pipelines.clock import Clock
    from pipelines.run import Run
    from pipelines.windows import Window

    today = datetime.now(UTC).date()
    with emulator(settings, None, days=3) if settings.mode != "live" else nullcontext() as attached:
        run = Run.begin(settings, Window.of_days(today, today), Clock(None), attached.emulator if attached else None)
        run.landing.release()  # a prune may go on while the collector runs: it holds landing while it writes
        yield run


async def _collect(run: Run) -> bool:
    """Collect until a signal; True where a thread is left that can't end."""
    from pipelines.collect.collector import Collector, polls
    from pipelines.collect.watching import watched

    stop = asyncio.Event()
    for which in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(which, stop.set)
    chosen, notes = run.chosen_sources()
    sources = [source for source in chosen if source.streams or polls(run.settings, source)]
    for note in notes:
        typer.echo(printable(note), err=True)
    if not sources:
        raise ValueError(
            f"{', '.join(run.settings.venues)}: none of these venues has a stream or something to poll; see docs/collecting.md"
        )
    collector = Collector(run, sources)
    async with watched(collector, run.settings.collect_port) as address:
        streams = ", ".join(listener.tag for listener in collector.listeners)
        where = f"; {address}/health and /metrics" if address else ""
        polled = ", ".join(poller.source.name for poller in collector.pollers)
        typer.echo(
            f"hearing {streams or 'no stream'}; polling {polled or 'nothing'}{where}; spool {collector.spool.folder}", err=True
        )
        await collector.collect(stop)
    return collector.seals
