"""Commands that read the published copy: `perps regimes`, `query`, `status`, `gaps`, `watch`, `explain`."""

from __future__ import annotations

import sys
from datetime import datetime
from json import dumps
from typing import Annotated

import typer

from assets.cli.base import command
from assets.cli.formats import Format, FormatOption, write, write_rows
from assets.cli.options import COPY
from perplake.published import asked, json_rows, published_copy, published_path, question, reading
from pipelines.errors import printable
from pipelines.settings import Settings


@command(*COPY)
def regimes(
    settings: Settings,
    asset: Annotated[str, typer.Argument(help="base asset, such as `BTC`; `MARKET` is the average of all")],
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="a day, UTC; default: the last labelled")] = None,
    format: FormatOption = Format.table,
) -> None:
    """An asset's regime today and the forecast of the coming week; with `--as-of` those of a past day, from the data until then.

    Probabilities are no advice: each is printed with its score, which may say that it adds nothing.
    """
    from assets.cli.printing import outlook, print_outlook

    with reading(published_copy(settings)) as db:
        found = outlook(db, asset.upper(), as_of.date() if as_of else None)
    if format is Format.table:
        print_outlook(found)
    else:
        write_rows([found], format)


@command(*COPY)
def query(
    settings: Settings,
    sql: Annotated[str, typer.Argument(help="one statement, read only")],
    format: FormatOption = Format.table,
) -> None:
    """Ask the published copy in SQL: `perps query "select day, label from marts.regime_labels where asset = 'BTC'"`."""
    with reading(published_copy(settings)) as db, asked():
        write(question(db, sql), format)


@command(*COPY)
def status(settings: Settings, format: FormatOption = Format.table) -> None:
    """What is loaded, how fresh and how complete it is, and how the last runs ended; as CSV what is loaded alone."""
    from assets.cli import printing
    from assets.runtime.outcomes import noted_runs

    path = published_path(settings)
    runs = noted_runs(path.parent)
    if format is Format.table:
        printing.last_runs(runs)
        published_copy(settings)
        printing.console.print(f"published copy {path}", markup=False)
        with reading(path) as db:
            printing.status(db)
        return
    with reading(published_copy(settings)) as db:
        if format is Format.csv:
            write(printing.loaded(db), format)
        else:
            parts = {"runs": (dumps(run, default=str) for run in runs[:5]), "scope": json_rows(db.sql("FROM meta.scope"))}
            parts |= {"datasets": json_rows(printing.loaded(db)), "quarantine": json_rows(printing.unread(db))}
            sections = (f'"{name}": [' + ",\n".join(rows) + "]" for name, rows in parts.items())
            typer.echo(f'{{"published": {dumps(str(path))},\n' + ",\n".join(sections) + "}")


@command(*COPY)
def gaps(
    settings: Settings,
    limit: Annotated[int | None, typer.Option(help="rows to print", show_default="40; as CSV or JSON all")] = None,
    format: FormatOption = Format.table,
) -> None:
    """What is missing, which of it can still be fetched, and until when."""
    from assets.cli import printing

    with reading(published_copy(settings)) as db:
        if format is Format.table:
            printing.gaps(db, 40 if limit is None else limit)
        else:
            write(printing.missing(db) if limit is None else printing.missing(db).limit(limit), format)


#: Exit status of `perps watch` by the highest severity: beside those of errors, so that a script can tell them apart.
_STATUS = {None: 0, "notice": 3, "warning": 4, "critical": 5}


@command(*COPY)
def watch(
    settings: Settings,
    since: Annotated[str | None, typer.Option(help="a signal's key: those after it; or a day: those of it and later")] = None,
    json: Annotated[bool, typer.Option("--json", help="a line of JSON for each signal, as webhooks get it")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Signals: each change of regime, and each red flag of the early warning, in order: `perps watch --since 2025-10-10 --json`.

    Exit status by the highest severity: 0 no signal, 3 notice, 4 warning (stress, deleveraging, a red flag), 5 critical (crash,
    cascade).
    """
    from perplake.signals import line, signals, worst

    with reading(published_copy(settings)) as db:
        found = signals(db, since)
    if json:
        sys.stdout.writelines(f"{line(signal)}\n" for signal in found)
    elif format is Format.table:
        for signal in found:
            typer.echo(printable(f"{signal.key}  {signal.severity}  {signal.title}: {signal.reasons}"))
    else:
        write_rows([signal.as_json() for signal in found], format)
    raise typer.Exit(_STATUS[worst(found)])


@command(*COPY, "landing")
def explain(
    settings: Settings,
    fact: Annotated[str, typer.Argument(help="one of the facts: `fct_funding_rates`, `fct_liquidations`, …")],
    instrument: Annotated[str, typer.Argument(help="its `instrument_id`: `binance:BTCUSDT`")],
    at: Annotated[
        datetime,
        typer.Argument(
            formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f"],
            help="its time, UTC",
        ),
    ],
    format: FormatOption = Format.table,
) -> None:
    """Trace a number back to the bytes that the venue sent.

    `perps explain fct_funding_rates binance:BTCUSDT 2025-10-10T16:00`
    """
    from assets.cli.printing import console
    from perplake.explain import explain as steps

    if not settings.model_fields_set & {"mode", "warehouse"}:
        settings = settings.model_copy(update={"mode": "replay"})  # the market that ran last
    with reading(published_copy(settings)) as db:
        found = steps(db, settings, fact, instrument, at)
        if format is Format.json:
            write_rows([{"title": step.title, **step.content} for step in found], format)
            return
        if format is Format.csv:
            write_rows(
                [{"title": s.title, "name": name, "value": value} for s in found for name, value in s.content.items()], format
            )
            return
        for step in found:
            console.print(step.title, style="bold", markup=False)
            for name, value in step.content.items():
                console.print(f"    {name:<20} {value}", markup=False)
