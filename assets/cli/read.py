"""Commands that read the published copy: `perps regimes`, `query`, `status`, `gaps`, `explain`."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from assets.cli.base import command, published_copy, published_path, reading
from assets.cli.options import COPY
from pipelines.errors import printable
from pipelines.settings import Settings


class Format(StrEnum):
    """How `perps query` prints."""

    table = "table"
    csv = "csv"
    json = "json"


@command(*COPY)
def regimes(
    settings: Settings,
    asset: Annotated[str, typer.Argument(help="base asset, such as `BTC`; `MARKET` is the average of all")],
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="a day, UTC; default: the last labelled")] = None,
) -> None:
    """An asset's regime today and the forecast of the coming week; with `--as-of` those of a past day, from the data until then.

    Probabilities are no advice: each is printed with its score, which may say that it adds nothing.
    """
    from assets.cli.printing import outlook

    with reading(published_copy(settings)) as db:
        outlook(db, asset.upper(), as_of.date() if as_of else None)


@command(*COPY)
def query(
    settings: Settings,
    sql: Annotated[str, typer.Argument(help="one statement, read only")],
    format: Annotated[Format, typer.Option(help="how to print")] = Format.table,
) -> None:
    """Ask the published copy in SQL: `perps query "select day, label from marts.regime_labels where asset = 'BTC'"`."""
    import duckdb

    from pipelines.warehouse import FILE_ERRORS

    with reading(published_copy(settings)) as db:
        try:
            db.execute("SET search_path = 'marts,meta'")
            if len(statements := db.extract_statements(sql)) != 1:
                raise ValueError("`query` takes one statement")
            # Others give no rows, or reach what readers may not, such as CALL enable_logging.
            reads = statements[0].type in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
            if not reads or (answer := db.sql(sql)) is None:
                raise ValueError("that statement gives no rows; `query` only reads")
            # Values are written by DuckDB: nothing is rounded, and a date stays a date.
            if format is Format.table:
                answer.show(max_width=10_000, max_rows=1000)  # DuckDB shows control characters as \x1b
            elif format is Format.csv:
                text = answer.project("cast(columns(*) as varchar)")
                writer = csv.writer(sys.stdout, lineterminator="\n")
                writer.writerow(text.columns)
                while rows := text.fetchmany(10_000):
                    writer.writerows([[v and printable(v) for v in row] for row in rows] if sys.stdout.isatty() else rows)
            else:
                rows = answer.query("answer", "select to_json(answer) from answer").fetchall()
                typer.echo("[" + ",\n".join(row for (row,) in rows) + "]")
        except FILE_ERRORS:
            raise
        except duckdb.Error as problem:
            raise ValueError(str(problem)) from None


@command(*COPY)
def status(settings: Settings) -> None:
    """What is loaded, how fresh and how complete it is, and how the last runs ended."""
    from assets.cli import printing
    from assets.runtime.outcomes import noted_runs

    path = published_path(settings)
    printing.last_runs(noted_runs(path.parent))
    published_copy(settings)
    printing.console.print(f"published copy {path}", markup=False)
    with reading(path) as db:
        printing.status(db)


@command(*COPY)
def gaps(settings: Settings, limit: Annotated[int, typer.Option(help="rows to print")] = 40) -> None:
    """What is missing, which of it can still be fetched, and until when."""
    from assets.cli import printing

    with reading(published_copy(settings)) as db:
        printing.gaps(db, limit)


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
) -> None:
    """Trace a number back to the bytes that the venue sent.

    `perps explain fct_funding_rates binance:BTCUSDT 2025-10-10T16:00`
    """
    from assets.cli.explain import explain as steps
    from assets.cli.printing import console

    if not settings.model_fields_set & {"mode", "warehouse"}:
        settings = settings.model_copy(update={"mode": "replay"})  # the market that ran last
    for step in steps(settings, published_copy(settings), fact, instrument, at):
        console.print(step.title, style="bold", markup=False)
        for name, value in step.content.items():
            console.print(f"    {name:<20} {value}", markup=False)
