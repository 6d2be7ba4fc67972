"""`--format` of the commands that read: a table for people, CSV or JSON for programs, with the values as they are.

DuckDB writes the values: nothing is rounded, and a date stays a date. What is computed in Python comes as rows of its own.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
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
        _write_table(answer)
    elif format is Format.csv:
        text = answer.project("cast(columns(*) as varchar)")
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(text.columns)
        while rows := text.fetchmany(10_000):
            writer.writerows([_shown(value) for value in row] for row in rows)
    else:
        _write_json(json_rows(answer))


def write_rows(rows: Sequence[Mapping[str, Any]], format: Format) -> None:
    """Print rows of one kind as CSV or JSON."""
    if format is Format.json:
        _write_json(json.dumps(row, ensure_ascii=False, default=str) for row in rows)
        return
    flat = [{name: _shown(value) for name, value in _flat(row)} for row in rows]
    writer = csv.DictWriter(sys.stdout, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)


def _shown(value: Any) -> Any:
    """A value as it is; on a terminal a text without what moves it."""
    return printable(value) if isinstance(value, str) and sys.stdout.isatty() else value


def _flat(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a row, those of a part under the names of both."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}_{inner}", each) for inner, each in value.items())
        else:
            yield name, value


def _write_table(answer: duckdb.DuckDBPyRelation) -> None:
    """DuckDB's table, or each row as lines of names and values where a terminal is too narrow for it."""
    drawn = io.StringIO()
    with redirect_stdout(drawn):
        answer.show(max_width=10_000, max_rows=1000)  # DuckDB shows control characters as \x1b
    text = drawn.getvalue()
    if not sys.stdout.isatty() or max(map(len, text.splitlines()), default=0) <= shutil.get_terminal_size().columns:
        sys.stdout.write(text)
        return
    for row in answer.limit(1000).project("cast(columns(*) as varchar)").fetchall():
        sys.stdout.writelines(f"{name}: {printable(value or 'NULL')}\n" for name, value in zip(answer.columns, row, strict=True))
        sys.stdout.write("\n")


def _write_json(rows: Iterable[str]) -> None:
    """A list with a line a row."""
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        sys.stdout.write(_shown(f",\n{row}" if number else row))
    sys.stdout.write("]\n")
