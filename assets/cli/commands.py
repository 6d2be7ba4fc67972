"""`perps`: the command line. Each command's `--help` teaches it; this module only reads options and calls what does the work.

Heavy libraries are imported by the commands that need them, so that `perps query` answers at once.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from pipelines import __version__
from pipelines.errors import LandingFull, WarehouseMismatch
from pipelines.settings import Settings

app = typer.Typer(
    name="perps",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="perplake: a self-hosted warehouse for crypto perpetual futures.\n\n"
    "Start with `perps run` (a synthetic market, no network), then `perps status` and "
    '`perps query "select * from marts.regime_labels limit 5"`. Settings: `perps settings`.',
)

Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        "--source",
        help="`synthetic`, `recorded:FOLDER`, `live`, or `replay` (from landing alone)",
        show_default="synthetic",
    ),
]
Venues = Annotated[str | None, typer.Option(help="by comma, or `core`, `all`", show_default="core")]
Assets = Annotated[str | None, typer.Option(help="base assets by comma, or `all`", show_default="a core list")]
First = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day, inclusive, UTC")]
Last = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, inclusive, UTC")]
Days = Annotated[int | None, typer.Option(help="how many days, where no first day is given", show_default="120")]
AsOf = Annotated[str | None, typer.Option(help="the run's clock, ISO, UTC", show_default="the end of the data; live: now")]
Home = Annotated[Path | None, typer.Option(help="folder for everything that runs write", show_default=".perplake")]
Warehouse = Annotated[Path | None, typer.Option(help="the DuckDB file", show_default="one per market in the home")]
LandingAt = Annotated[str | None, typer.Option("--landing", help="folder or s3:// URL of raw bytes", show_default="in the home")]
Seed = Annotated[int | None, typer.Option(help="the synthetic market's seed", show_default="7")]
Refetch = Annotated[bool, typer.Option("--refetch", help="ask again for what landing already holds")]
Forecasts = Annotated[bool, typer.Option("--forecasts", help="forecast the coming week too, and score it")]


class Format(StrEnum):
    """How `perps query` prints."""

    table = "table"
    csv = "csv"
    json = "json"


@app.callback()
def main() -> None:
    logging.basicConfig(level=os.environ.get("PERPLAKE_LOG", "CRITICAL").upper(), format="%(levelname)s %(name)s: %(message)s")


def _settings(**given: Any) -> Settings:
    """Options over environment over file; an option that was not given is left to those."""
    for name in ("first", "last"):
        if isinstance(given.get(name), datetime):
            given[name] = given[name].date()
    return Settings(**{name: value for name, value in given.items() if value not in (None, False)})


@contextmanager
def _messages() -> Iterator[None]:
    """Expected problems end with one line and status 2; a stopped run with what to do next."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("\nstopped; what was fetched is kept, the next run goes on from here", err=True)
        raise typer.Exit(130) from None
    except ValidationError as problem:
        for error in problem.errors():
            typer.echo(f"perps: setting {'.'.join(map(str, error['loc']))}: {error['msg']}", err=True)
        raise typer.Exit(2) from None
    except (ValueError, KeyError, ConnectionError, WarehouseMismatch, LandingFull) as problem:
        typer.echo(f"perps: {problem}", err=True)
        raise typer.Exit(2) from None


def _published(settings: Settings) -> Path:
    """The published copy that a reading command means: the named warehouse's, or the last run's."""
    current = settings.home / "current"
    chosen = "mode" in settings.model_fields_set or settings.warehouse is not None
    path = (settings.published if chosen or not current.exists() else current / "published") / "perplake.duckdb"
    if not path.exists():
        raise ValueError(f"nothing is published at {path}: `perps run` first, or name a --warehouse")
    return path


@app.command()
def run(
    mode: Mode = None,
    venues: Venues = None,
    assets: Assets = None,
    first: First = None,
    last: Last = None,
    days: Days = None,
    as_of: AsOf = None,
    home: Home = None,
    warehouse: Warehouse = None,
    landing: LandingAt = None,
    seed: Seed = None,
    refetch: Refetch = False,
    forecasts: Forecasts = False,
) -> None:
    """The main job: fetch, load, transform, label, check, publish, report.

    Without options: the synthetic market, 8 assets, the last 120 days, from a venue emulator on loopback. Exit status 1 when a
    step or a blocking check fails or a window could not be had whole; run again, and it goes on where it stopped.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from assets.cli.printing import console, ending

    with _messages():
        settings = _settings(
            mode=mode, venues=venues, assets=assets, first=first, last=last, days=days, as_of=as_of, home=home,
            warehouse=warehouse, landing=landing, seed=seed, refetch=refetch, forecasts=forecasts,
        )  # fmt: skip
        columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bars:
            tasks: dict[str, Any] = {}

            def progress(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name)
                bars.update(tasks[name], completed=done, total=total)

            from assets.definitions import main_job
            from assets.runtime.job import run as run_job

            outcome = run_job(settings, main_job, progress)
        ending(outcome)
    raise typer.Exit(0 if outcome.good else 1)


@app.command()
def regimes(
    asset: Annotated[str, typer.Argument(help="base asset, such as `BTC`; `MARKET` is the average of all")],
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="a day, UTC; default: the last labelled")] = None,
    mode: Mode = None,
    home: Home = None,
    warehouse: Warehouse = None,
    seed: Seed = None,
) -> None:
    """Today's regime of an asset and what the coming week may bring; `--as-of` what would have been said on a day, from its past.

    Probabilities are no advice: each stands beside its score, which may say that it adds nothing.
    """
    import duckdb

    from assets.cli.printing import outlook

    with _messages():
        path = _published(_settings(mode=mode, home=home, warehouse=warehouse, seed=seed))
        with duckdb.connect(str(path), read_only=True) as db:
            outlook(db, asset.upper(), as_of.date() if as_of else None)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="one statement, read only")],
    format: Annotated[Format, typer.Option(help="how to print")] = Format.table,
    mode: Mode = None,
    home: Home = None,
    warehouse: Warehouse = None,
    seed: Seed = None,
) -> None:
    """Ask the published copy in SQL: `perps query "select day, label from marts.regime_labels where asset = 'BTC'"`."""
    import duckdb

    with _messages():
        path = _published(_settings(mode=mode, home=home, warehouse=warehouse, seed=seed))
        with duckdb.connect(str(path), read_only=True, config={"enable_external_access": "false"}) as db:
            db.execute("SET TimeZone = 'UTC'")
            try:
                answer = db.sql(sql)
                if answer is None:
                    raise ValueError("that statement gives no rows; `query` only reads")
                if format is Format.table:
                    answer.show(max_width=10_000, max_rows=1000) if sys.stdout.isatty() else typer.echo(str(answer))
                elif format is Format.csv:
                    answer.df().to_csv(sys.stdout, index=False)
                else:
                    typer.echo(answer.df().to_json(orient="records", date_format="iso", date_unit="us"))
            except duckdb.Error as problem:
                raise ValueError(str(problem)) from None


@app.command()
def status(mode: Mode = None, home: Home = None, warehouse: Warehouse = None, seed: Seed = None) -> None:
    """What is loaded, how fresh, how complete, and what failed last."""
    import duckdb

    from assets.cli import printing

    with _messages():
        path = _published(_settings(mode=mode, home=home, warehouse=warehouse, seed=seed))
        printing.console.print(f"published copy {path}")
        with duckdb.connect(str(path), read_only=True) as db:
            printing.status(db)


@app.command()
def venues(
    mode: Mode = None,
    home: Home = None,
    warehouse: Warehouse = None,
    seed: Seed = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="as Markdown, without what depends on this machine")] = False,
) -> None:
    """Every system: what it gives, how far back, its key and limits, the state of the venue, what is unproven, the last load."""
    from assets.cli import printing
    from assets.cli import venues as known

    if markdown:
        typer.echo(known.markdown(), nl=False)
        return
    with _messages():
        try:
            loads = known.last_loads(_published(_settings(mode=mode, home=home, warehouse=warehouse, seed=seed)))
        except ValueError:  # nothing is published yet
            loads = {}
        printing.venues(known.rows(), loads)


@app.command()
def gaps(
    mode: Mode = None,
    home: Home = None,
    warehouse: Warehouse = None,
    seed: Seed = None,
    limit: Annotated[int, typer.Option(help="rows to print")] = 40,
) -> None:
    """What is missing, what of it can still be fetched, and until when."""
    import duckdb

    from assets.cli import printing

    with _messages():
        path = _published(_settings(mode=mode, home=home, warehouse=warehouse, seed=seed))
        with duckdb.connect(str(path), read_only=True) as db:
            printing.gaps(db, limit)


@app.command()
def explain(
    fact: Annotated[str, typer.Argument(help="`fct_funding_rates`, `fct_open_interest`, `fct_candles` or `fct_liquidations`")],
    instrument: Annotated[str, typer.Argument(help="its `instrument_id`: `binance:BTCUSDT`")],
    at: Annotated[datetime, typer.Argument(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"], help="its time, UTC")],
    mode: Mode = None,
    home: Home = None,
    warehouse: Warehouse = None,
    landing: LandingAt = None,
    seed: Seed = None,
) -> None:
    """Trace a number back to the bytes that the venue sent.

    `perps explain fct_funding_rates binance:BTCUSDT 2025-10-10T16:00`
    """
    from assets.cli.explain import explain as steps
    from assets.cli.printing import console

    with _messages():
        chosen = _settings(mode=mode, home=home, warehouse=warehouse, landing=landing, seed=seed)
        if not chosen.model_fields_set & {"mode", "warehouse"}:
            chosen = chosen.model_copy(update={"mode": "replay"})  # whichever market ran last
        for step in steps(chosen, str(_published(chosen)), fact, instrument, at):
            console.print(f"[bold]{step.title}[/]")
            for name, value in step.content.items():
                console.print(f"    {name:<20} {value}", markup=False)


@app.command()
def settings() -> None:
    """Every setting with its variable, its default and its present value, as a Markdown table."""
    with _messages():
        now = Settings()
    typer.echo("| setting | environment variable | default | what it does |\n|---|---|---|---|")
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, list) else field.default
        shown = "" if default in (None, "") else f"`{default}`"
        set_here = f" (now `{getattr(now, name)}`)" if name in now.model_fields_set else ""
        typer.echo(f"| `{name}` | `PERPLAKE_{name.upper()}` | {shown} | {field.description}{set_here} |")


@app.command("import")
def bring(
    of: Annotated[str, typer.Argument(help="a source, such as `bitmex`", metavar="SOURCE")],
    dataset: Annotated[str, typer.Argument(help="its dataset, such as `funding_rates`")],
    files: Annotated[
        list[Path], typer.Argument(help="answers of the venue as it sent them, a file each", exists=True, dir_okay=False)
    ],
    says: Annotated[list[str] | None, typer.Option(help="what the rows don't say themselves, as `symbol=XBTUSD`")] = None,
    home: Home = None,
    landing: LandingAt = None,
) -> None:
    """Put your own files, in a venue's format, into the live market's landing: the way to a closed venue's history.

    Then load their days: `perps run --mode live --venues bitmex --from 2024-01-01 --to 2024-12-31`.
    """
    from pipelines.import_files import import_files
    from pipelines.run import Run, resolve_window_and_clock
    from pipelines.sources import get_source

    with _messages():
        settings = _settings(mode="live", home=home, landing=landing)
        window, clock = resolve_window_and_clock(settings)
        found = get_source(of)
        named = {d.name: d for d in found.endpoints}
        if dataset not in named:
            raise ValueError(f"{of} has no dataset {dataset!r}; there are: {', '.join(named)}")
        context = dict(part.partition("=")[::2] for part in says or [])
        rows = import_files(Run.begin(settings, window, clock), found, named[dataset], files, context)
        loads = f"`perps run --mode live --venues {found.venue} --from … --to …`"
        typer.echo(f"{rows:,} rows of {of} {dataset} are in landing; {loads} loads them")


@app.command()
def prune(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="drop what was fetched before this day, UTC")],
    mode: Mode = None,
    home: Home = None,
    landing: LandingAt = None,
    seed: Seed = None,
) -> None:
    """Free landing's disk: forget what was fetched before a day. Tables stay; what is forgotten can't be replayed any more."""
    from pipelines.landing import Landing

    with _messages():
        freed = Landing(_settings(mode=mode, home=home, landing=landing, seed=seed).landing_root).prune(f"{before:%Y%m%d}")
        typer.echo(f"freed {freed / 1e6:.1f} MB")


@app.command()
def version() -> None:
    """The version of perplake."""
    typer.echo(__version__)


@app.command()
def ui(port: Annotated[int, typer.Option(help="of the Dagster UI")] = 3000, mode: Mode = None) -> None:
    """The Dagster UI on loopback, with the venue emulator running beside it (not when live)."""
    from assets.cli.ui import serve

    with _messages():
        serve(_settings(mode=mode), port)


@app.command()
def docs(port: Annotated[int, typer.Option(help="of the documentation")] = 8081) -> None:
    """Build the documentation and serve it on loopback: guides, every table and column, venues, settings, commands."""
    with _messages():
        if find_spec("material") is None:
            raise ValueError("the documentation needs MkDocs Material: `pip install -e '.[dev]'`")
    config = str(Path(__file__).parents[2] / "mkdocs.yml")
    command = [sys.executable, "-m", "mkdocs", "serve", "--config-file", config, "--dev-addr", f"127.0.0.1:{port}"]
    with suppress(KeyboardInterrupt):
        subprocess.run(command, check=True)
