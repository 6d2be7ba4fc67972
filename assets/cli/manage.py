"""Commands on settings, sources, landing and warehouses: `perps settings`, `venues`, `import`, `prune`, `backup`, `move`, …"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assets.cli.base import command
from assets.cli.formats import Format, FormatOption, write_rows
from assets.cli.options import COPY
from perplake.published import published_copy
from pipelines import __version__
from pipelines.backup import Copied
from pipelines.errors import printable
from pipelines.settings import Settings


@command(name="settings")
def show_settings() -> None:
    """Every setting with its variable, its default and its present value, as a Markdown table."""
    present = Settings()
    typer.echo("| setting | environment variable | default | what it does |\n|---|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, list) else field.default
        shown = "" if default in (None, "") else f"`{default}`"
        value = f" (now `{getattr(present, name)}`)" if name in present.model_fields_set else ""
        typer.echo(printable(f"| `{name}` | `PERPLAKE_{name.upper()}` | {shown} | {field.description}{value} |"))


@command(*COPY)
def venues(
    settings: Settings,
    markdown: Annotated[bool, typer.Option("--markdown", help="as Markdown, without what depends on this machine")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Every source: its venue, datasets, history, key, limits, unproven facts, and its last load."""
    from assets.cli import printing
    from assets.cli import venues as table

    if markdown:
        typer.echo(table.markdown(), nl=False)
        return
    try:
        path = published_copy(settings)
    except ValueError:  # nothing is published yet
        path = None
    loads = table.last_loads(path) if path else {}
    if format is Format.table:
        printing.venues(table.rows(), loads)
        return
    header = (*table.HEADER, "last load")
    write_rows([dict(zip(header, (*row.cells(), loads.get(row.source)), strict=True)) for row in table.rows()], format)


@command("home", "landing", name="import")
def import_(
    settings: Settings,
    source: Annotated[str, typer.Argument(help="a source, such as `bitmex`")],
    endpoint: Annotated[str, typer.Argument(help="its endpoint, such as `funding_rates`", metavar="DATASET")],
    files: Annotated[
        list[Path], typer.Argument(help="responses of the venue as it sent them, a file each", exists=True, dir_okay=False)
    ],
    context: Annotated[
        list[str] | None, typer.Option("--context", "--says", help="what the rows don't contain, as `symbol=XBTUSD`")
    ] = None,
) -> None:
    """Put your own files, in a venue's format, into the live market's landing: the way to a closed venue's history.

    Then load their days: `perps run --mode live --venues bitmex --from 2024-01-01 --to 2024-12-31`.
    """
    from pipelines.import_files import import_files
    from pipelines.run import Run, resolve_window_and_clock
    from pipelines.sources import get_source

    live = settings.model_copy(update={"mode": "live"})
    window, clock = resolve_window_and_clock(live)
    reader = get_source(source)
    endpoints = {e.name: e for e in reader.endpoints}
    if endpoint not in endpoints:
        raise ValueError(f"{source} has no dataset {endpoint!r}; there are: {', '.join(endpoints)}")
    given = dict(part.partition("=")[::2] for part in context or [])
    rows = import_files(Run.begin(live, window, clock), reader, endpoints[endpoint], files, given)
    next_command = f"`perps run --mode live --venues {reader.venue} --from … --to …`"
    typer.echo(f"{rows:,} rows of {source} {endpoint} are in landing; {next_command} loads them")


@command("mode", "home", "landing", "seed")
def prune(
    settings: Settings,
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="delete what was fetched before this day, UTC")
    ] = None,
) -> None:
    """Free disk: runs older than `history_days` in Dagster's history, and with `--before` the pages fetched before a day.

    Tables stay; deleted pages can't be replayed any more.
    """
    from assets.runtime.history import delete_old_runs
    from assets.runtime.instance import dagster_instance
    from pipelines.landing import Landing

    with dagster_instance(settings) as instance:
        deleted = delete_old_runs(instance, settings.history_days)
    typer.echo(f"deleted {deleted:,} runs older than {settings.history_days} days from Dagster's history")
    if before is None:
        return
    freed = Landing(settings.landing_root).prune(f"{before:%Y%m%d}")
    typer.echo(f"freed {freed / 1e6:.1f} MB")


@command(*COPY, "landing")
def backup(
    settings: Settings,
    target: Annotated[Path, typer.Argument(help="a folder, to which later backups add, or a file `….tar`")],
) -> None:
    """Copy landing and warehouse to a folder or an archive, also while a run goes on.

    Exit status 1 when something was damaged and left out.
    """
    from pipelines.backup import backup as copy

    _end_of_copy(copy(current(settings), target), f"are in {target}: `perps restore {target}` brings them back")


@command("home", "warehouse", "landing")
def restore(
    settings: Settings,
    source: Annotated[Path, typer.Argument(help="what `perps backup` made", exists=True)],
) -> None:
    """Put a backup's landing and warehouse into a home that has neither; the next run goes on from them and publishes.

    Exit status 1 when something in the backup was damaged and left out.
    """
    from assets.runtime.job import point_at
    from pipelines.backup import restore as bring_back

    restored = bring_back(settings, source)
    point_at(settings.replaying(restored.market))
    _end_of_copy(restored, "are restored: the next `perps run` of this market goes on from them and publishes")


class Profile(StrEnum):
    """Where a warehouse is."""

    file = "file"
    lake = "lake"


@command("mode", "home", "landing", "seed")
def move(
    settings: Settings,
    to: Annotated[Profile, typer.Argument(help="where to: `lake` (of the variables that the page of the lake names) or `file`")],
) -> None:
    """Copy the warehouse and its landing from file to lake, or from lake to file; rows and checksums of both are compared.

    Nothing is deleted. Publishes the copy, and the next run under that profile goes on from it.
    """
    from itertools import groupby

    from assets.defs.publish import published_marts
    from assets.defs.snapshot import copy_marts
    from pipelines import warehouse
    from pipelines.backup import copy_landing
    from pipelines.move import copy_warehouse

    mine = current(settings)
    old, new = (mine.model_copy(update={"profile": p}) for p in (("file", "lake") if to is Profile.lake else ("lake", "file")))
    tables = copy_warehouse(old.database, new.database)
    for schema, group in groupby(sorted(tables, key=lambda table: table.schema), key=lambda table: table.schema):
        own = list(group)
        rows, checksum = sum(table.rows for table in own), sum(table.checksum for table in own)
        typer.echo(f"{schema:<12} {len(own):>4} tables {rows:>12,} rows, checksum {checksum:x}, equal in both")
    if any(table.schema == "marts" for table in tables):
        with warehouse.one_writer(new.database):
            copy_marts(new.database, new.published, published_marts(), "move")
    at_home, elsewhere = str(mine.folder / "landing"), mine.landing_root
    if at_home != elsewhere:
        one, other = (at_home, elsewhere) if to is Profile.lake else (elsewhere, at_home)
        copied = copy_landing(one, other, mine.market)
        typer.echo(f"landing      {copied.pages:,} pages are in {other}")
    typer.echo(f"{mine.market} is in {new.database}; with PERPLAKE_PROFILE={to} the next `perps run` goes on from there")


def current(settings: Settings) -> Settings:
    """These settings, for the market that ran last unless another is named."""
    named = settings.model_fields_set & {"mode", "warehouse", "landing"}
    return settings if named else settings.model_copy(update={"mode": "replay"})


def _end_of_copy(copied: Copied, where: str) -> None:
    for line in copied.damage:
        typer.echo(printable(f"perps: {line}"), err=True)
    content = f"{copied.pages:,} pages ({copied.bytes / 1e6:.1f} MB){' and the warehouse' if copied.has_warehouse else ''}"
    typer.echo(printable(f"{content} of {copied.market} {where}"))
    raise typer.Exit(1 if copied.damage else 0)


@command()
def version() -> None:
    """The version of perplake."""
    typer.echo(__version__)
