"""`--format` of the commands that read: a table for people, CSV or JSON for programs, with the values as they are.

DuckDB writes the values: nothing is rounded, and a date stays a date. What is computed in Python comes as rows of its own.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perplake.published import json_rows
from pipelines.errors import printable

if TYPE_CHECKING:
    import duckdb


class Format(StrEnum):
    """How a command prints."""

    table = "table"
    csv = "csv"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="how to print")]


def write(answer: duckdb.DuckDBPyRelation, format: Format) -> None:
    """Print an answer of DuckDB."""
    if format is Format.table:
        answer.show(max_width=10_000, max_rows=1000)  # DuckDB shows control characters as \x1b
    elif format is Format.csv:
        text = answer.project("cast(columns(*) as varchar)")
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(text.columns)
        while rows := text.fetchmany(10_000):
            writer.writerows([[v and printable(v) for v in row] for row in rows] if sys.stdout.isatty() else rows)
    else:
        _write_json(json_rows(answer))


def write_rows(rows: Sequence[Mapping[str, Any]], format: Format) -> None:
    """Print rows of one kind as CSV or JSON."""
    if format is Format.json:
        _write_json(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _write_json(rows: Iterable[str]) -> None:
    """A list with a line a row."""
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        sys.stdout.write(f",\n{row}" if number else row)
    sys.stdout.write("]\n")
