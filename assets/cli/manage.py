"""Commands on settings, sources and landing: `perps settings`, `venues`, `import`, `prune`, `version`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from assets.cli import options
from assets.cli.base import app, expected_errors, published_copy, settings_of
from pipelines import __version__
from pipelines.settings import Settings


@app.command()
def settings() -> None:
    """Every setting with its variable, its default and its present value, as a Markdown table."""
    with expected_errors():
        present = Settings()
    typer.echo("| setting | environment variable | default | what it does |\n|---|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, list) else field.default
        shown = "" if default in (None, "") else f"`{default}`"
        value = f" (now `{getattr(present, name)}`)" if name in present.model_fields_set else ""
        typer.echo(f"| `{name}` | `PERPLAKE_{name.upper()}` | {shown} | {field.description}{value} |")


@app.command()
def venues(
    mode: options.Mode = None,
    home: options.Home = None,
    warehouse: options.Warehouse = None,
    seed: options.Seed = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="as Markdown, without what depends on this machine")] = False,
) -> None:
    """Every source: its venue, datasets, history, key, limits, unproven facts, and its last load."""
    from assets.cli import printing
    from assets.cli import venues as table

    if markdown:
        typer.echo(table.markdown(), nl=False)
        return
    with expected_errors():
        try:
            loads = table.last_loads(published_copy(settings_of(mode=mode, home=home, warehouse=warehouse, seed=seed)))
        except ValueError:  # nothing is published yet
            loads = {}
        printing.venues(table.rows(), loads)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="a source, such as `bitmex`")],
    endpoint: Annotated[str, typer.Argument(help="its endpoint, such as `funding_rates`", metavar="DATASET")],
    files: Annotated[
        list[Path], typer.Argument(help="responses of the venue as it sent them, a file each", exists=True, dir_okay=False)
    ],
    context: Annotated[
        list[str] | None, typer.Option("--context", "--says", help="what the rows don't contain, as `symbol=XBTUSD`")
    ] = None,
    home: options.Home = None,
    landing: options.Landing = None,
) -> None:
    """Put your own files, in a venue's format, into the live market's landing: the way to a closed venue's history.

    Then load their days: `perps run --mode live --venues bitmex --from 2024-01-01 --to 2024-12-31`.
    """
    from pipelines.import_files import import_files
    from pipelines.run import Run, resolve_window_and_clock
    from pipelines.sources import get_source

    with expected_errors():
        live = settings_of(mode="live", home=home, landing=landing)
        window, clock = resolve_window_and_clock(live)
        reader = get_source(source)
        endpoints = {e.name: e for e in reader.endpoints}
        if endpoint not in endpoints:
            raise ValueError(f"{source} has no dataset {endpoint!r}; there are: {', '.join(endpoints)}")
        given = dict(part.partition("=")[::2] for part in context or [])
        rows = import_files(Run.begin(live, window, clock), reader, endpoints[endpoint], files, given)
        command = f"`perps run --mode live --venues {reader.venue} --from … --to …`"
        typer.echo(f"{rows:,} rows of {source} {endpoint} are in landing; {command} loads them")


@app.command()
def prune(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="delete what was fetched before this day, UTC")],
    mode: options.Mode = None,
    home: options.Home = None,
    landing: options.Landing = None,
    seed: options.Seed = None,
) -> None:
    """Free landing's disk: delete the pages fetched before a day. Tables stay; deleted pages can't be replayed any more."""
    from pipelines.landing import Landing

    with expected_errors():
        freed = Landing(settings_of(mode=mode, home=home, landing=landing, seed=seed).landing_root).prune(f"{before:%Y%m%d}")
        typer.echo(f"freed {freed / 1e6:.1f} MB")


@app.command()
def version() -> None:
    """The version of perplake."""
    typer.echo(__version__)
