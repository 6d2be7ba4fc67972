"""The tables of the schema `meta`: what perplake records about its own loads and runs, each column with its description and,
of a number, its unit in brackets (`pipelines.units`).

`pipelines.warehouse` makes the tables from these records, with the descriptions as comments; the documentation lists them. Times
are UTC without zone; a window is half-open. Alone: `perps query "from meta.runs"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """One table: a description, and by column its type and description. `key` are the columns of the primary key."""

    description: str
    columns: Mapping[str, tuple[str, str]]
    key: tuple[str, ...] = ()


_SOURCE = ("VARCHAR", "The source, as in the table of sources.")
_DATASET = ("VARCHAR", "The source's endpoint, which names its raw table.")
_START = ("TIMESTAMP", "Start of the window, inclusive.")
_END = ("TIMESTAMP", "End of the window, exclusive.")

META_TABLES = {
    "warehouse": Table(
        "One row: the market that this file holds, and the version that made it.",
        {
            "schema": ("INTEGER", "Version of the layout. A warehouse with another one is refused; landing stays valid. [count]"),
            "version": ("VARCHAR", "Version of perplake that made the file."),
            "market": ("VARCHAR", "The market: `live`, or the name of a synthetic or recorded market."),
            "created_at": ("TIMESTAMP", "When the file was made."),
        },
    ),
    "scope": Table(
        "One row: the market, the origin of the data, the hull of all loaded windows, the run's clock.",
        {
            "market": ("VARCHAR", "The market: `live`, or the name of a synthetic or recorded market."),
            "origin": ("VARCHAR", "Origin of the data: `synthetic`, `recorded` or `live`."),
            "mode": ("VARCHAR", "Mode of the last run, such as `live` or `replay`."),
            "window_start": ("TIMESTAMP", "Start of the hull of all loaded windows, inclusive."),
            "window_end": ("TIMESTAMP", "End of the hull of all loaded windows, exclusive."),
            "as_of": ("TIMESTAMP", "The last run's clock."),
            "assets": ("VARCHAR[]", "Base assets in scope; `all`: every asset."),
            "venues": ("VARCHAR[]", "Venues in scope."),
            "price_proxy": ("BOOLEAN", "True if a recording's mark prices are the hour's closes."),
            "sources": ("VARCHAR[]", "Sources in scope, each with its venue: `binance_usdm:binance`."),
        },
    ),
    "runs": Table(
        "One row per run of the main job: its window and how it ended.",
        {
            "run": ("VARCHAR", "The run's id in Dagster."),
            "mode": ("VARCHAR", "Mode of the run."),
            "window_start": _START,
            "window_end": _END,
            "started_at": ("TIMESTAMP", "When the run started."),
            "ended_at": ("TIMESTAMP", "When the run ended."),
            "outcome": ("VARCHAR", "`succeeded`, `incomplete` (a blocking check failed) or `failed` (a step failed)."),
            "messages": ("VARCHAR[]", "Failed steps with their messages, notes, and the problems of failed checks."),
        },
        key=("run",),
    ),
    "labelled": Table(
        "One row per day that has labels: what they were made of. A run labels anew from the first day that is another now.",
        {
            "day": ("DATE", "UTC day."),
            "rows": ("HUGEINT", "Sum of the hashes of the day's rows of `daily_assets` and `daily_market`. [count]"),
            "rules": ("VARCHAR", "Hash of the code of features and rules."),
        },
    ),
    "quarantine": Table(
        "One row per page, or row of a page, that could not be read as its type and was left out.",
        {
            "source": _SOURCE,
            "dataset": _DATASET,
            "endpoint": ("VARCHAR", "The path of the request."),
            "field": (
                "VARCHAR",
                "The place in the body that could not be read: `$` for all of it, `$.data[3].price` for a field of a row.",
            ),
            "value": ("VARCHAR", "Its value as sent."),
            "problem": ("VARCHAR", "Why it could not be read."),
            "page": ("VARCHAR", "The page's hash, which is its name in landing."),
            "run": ("VARCHAR", "The run that fetched the page, as in landing's manifest."),
            "observed_at": ("TIMESTAMP", "Time of the request."),
        },
        key=("source", "dataset", "page", "field"),
    ),
    "loaded_windows": Table(
        "Windows for which a dataset of events was fetched completely, per instrument: without a row in them there was no event.",
        {
            "source": _SOURCE,
            "dataset": _DATASET,
            "symbol": ("VARCHAR", "The venue's symbol."),
            "window_start": _START,
            "window_end": _END,
        },
        key=("source", "dataset", "symbol", "window_start", "window_end"),
    ),
    "silent_windows": Table(
        "Windows in which bars were missing, and stayed so when they were requested again: nothing more can be fetched.",
        {
            "source": _SOURCE,
            "dataset": _DATASET,
            "venue": ("VARCHAR", "The venue, as in the mart `dim_venues`."),
            "symbol": ("VARCHAR", "The venue's symbol."),
            "window_start": _START,
            "window_end": _END,
        },
        key=("source", "dataset", "venue", "symbol", "window_start", "window_end"),
    ),
    "whole_lists": Table(
        "Lists of a venue's instruments that came whole, every page and row readable: what they lack is not listed any more.",
        {
            "source": _SOURCE,
            "venue": ("VARCHAR", "The venue, as in the mart `dim_venues`."),
            "observed_at": ("TIMESTAMP", "Time of the request."),
        },
        key=("source", "venue", "observed_at"),
    ),
    "versions": Table(
        "One row per observation of a value that a source sent again with another value; `corrections` counts its changes.",
        {
            "source": _SOURCE,
            "dataset": _DATASET,
            "symbol": ("VARCHAR", "The symbol in the source's words."),
            "happened_at": ("TIMESTAMP", "The row's own time."),
            "row_key": ("VARCHAR", "The key of the raw row, its columns separated by blanks."),
            "field": ("VARCHAR", "The column of the raw table."),
            "value": ("VARCHAR", "The value as text, in the source's unit; null: absent."),
            "observed_at": ("TIMESTAMP", "Time of the request."),
            "run": ("VARCHAR", "The run that requested it, as in landing's manifest."),
            "page": ("VARCHAR", "The page's hash, which is its name in landing."),
            "place": ("BIGINT", "The page's number among those of its run, in the order in which they came. [count]"),
        },
        key=("source", "dataset", "row_key", "field", "observed_at", "run", "page"),
    ),
    "loads": Table(
        "The sets of pages that were loaded, so that none is loaded twice.",
        {
            "source": _SOURCE,
            "dataset": _DATASET,
            "digest": ("VARCHAR", "Hash of all that the rows depend on: pages, window, columns."),
        },
        key=("source", "dataset", "digest"),
    ),
    "changed": Table(
        "Windows whose raw rows changed since the last transformation; empty after it.",
        {"window_start": _START, "window_end": _END},
    ),
    "replaced": Table(
        "Windows in which dbt changed rows of an incremental model since the last publication; without bounds: all rows.",
        {
            "model": ("VARCHAR", "The dbt model."),
            "window_start": _START,
            "window_end": _END,
            "invocation": ("VARCHAR", "The call of dbt that replaced them, by its own id; null once all models are up to date."),
        },
    ),
    "partitions": Table(
        "What the last publication held: by mart and day the number of rows and a checksum. Another one writes what differs.",
        {
            "mart": ("VARCHAR", "The mart."),
            "day": ("DATE", "The UTC day of the rows; null: rows without a time, or all rows of a mart that has no day or time."),
            "rows": ("BIGINT", "The number of rows. [count]"),
            "digest": ("HUGEINT", "The sum of the rows' hashes, by DuckDB's `hash` of all columns. [count]"),
            "layout": (
                "VARCHAR",
                "Hash of columns, types and DuckDB's version: checksums of two layouts can't be compared.",
            ),
        },
    ),
    "published": Table(
        "One row in the published copy: when it was published, and by which run. A copy that a run leaves as it was is stale.",
        {
            "published_at": ("TIMESTAMP", "When the copy was made."),
            "run": ("VARCHAR", "The run's id in Dagster."),
        },
    ),
    "view_columns": Table(
        "In a lake, the columns of the marts that are views with their descriptions: there views have no comments on columns.",
        {
            "view": ("VARCHAR", "The mart."),
            "column": ("VARCHAR", "The column."),
            "description": ("VARCHAR", "Its description, as the comment of a table's column."),
        },
    ),
    "built": Table(
        "One row: what the marts were made by.",
        {
            "project": ("VARCHAR", "Hash of the files of the dbt project: another one rebuilds all marts."),
            "scope": ("VARCHAR", "The row of `scope` that they were made under, as text."),
            "sources": ("VARCHAR[]", "The sources that had raw rows then: only their staging models are there."),
        },
    ),
    "built_versions": Table(
        "One row per instrument: the versions with which all rows of facts were made. With other versions, they are made again.",
        {
            "instrument_id": ("VARCHAR", "`<venue>:<venue symbol>`."),
            "versions": ("UBIGINT", "Hash of the instrument's versions. [count]"),
        },
    ),
}


def create_meta_tables(in_lake: bool = False) -> str:
    """SQL that makes the schema, and every table and column that is missing, and comments on tables and columns."""
    return ";\n".join(["CREATE SCHEMA IF NOT EXISTS meta", *(create_meta_table(name, in_lake) for name in META_TABLES)])


def create_meta_table(name: str, in_lake: bool = False) -> str:
    """SQL that makes a table, or columns of it, where they are missing, and comments on it and its columns.

    A lake has no keys, and its Parquet files no integers of 128 bits: they would become floats.
    """
    table = META_TABLES[name]
    kinds = {column: "DECIMAL(38, 0)" if in_lake and kind == "HUGEINT" else kind for column, (kind, _) in table.columns.items()}
    parts = [f'"{column}" {kind}' for column, kind in kinds.items()]
    parts += [f"PRIMARY KEY ({', '.join(table.key)})"] if table.key and not in_lake else []
    statements = [
        f"CREATE TABLE IF NOT EXISTS meta.{name} ({', '.join(parts)})",
        *(f'ALTER TABLE meta.{name} ADD COLUMN IF NOT EXISTS "{column}" {kind}' for column, kind in kinds.items()),
        f"COMMENT ON TABLE meta.{name} IS {quoted(table.description)}",
        *(f'COMMENT ON COLUMN meta.{name}."{column}" IS {quoted(text)}' for column, (_, text) in table.columns.items()),
    ]
    return ";\n".join(statements)


def quoted(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
