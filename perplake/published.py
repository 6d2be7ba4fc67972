"""The published copy of the marts: where it is, and sessions on it that read it and reach nothing else.

A copy is attached to a database in memory of its own. A process that opened the file itself would get the same database as all
its other connections to that path, and so the old file for as long as one of them is open, also once a run has replaced it.

Of a lake, a session has the snapshot that was published last.

Alone: ``with reading(published_copy(Settings())) as db: question(db, "from regime_labels").show()``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb

from pipelines import ducklake
from pipelines.errors import WarehouseMismatch
from pipelines.meta_tables import quoted
from pipelines.settings import Settings
from pipelines.warehouse import FILE_ERRORS, unusable

#: The catalog's name in a session.
CATALOG = "perplake"
#: Table functions that read the copy, or nothing. Others write logs and profiles to files, take addresses of memory, or run SQL
#: that is in a text, all of which DuckDB does in a SELECT, whatever a session may reach.
_FUNCTIONS = frozenset(
    """
    range generate_series unnest repeat json_each json_tree histogram histogram_values summary
    duckdb_columns duckdb_constraints duckdb_databases duckdb_functions duckdb_indexes duckdb_keywords duckdb_schemas
    duckdb_settings duckdb_tables duckdb_types duckdb_views
    pragma_database_size pragma_show pragma_storage_info pragma_table_info pragma_version
    """.split()
)
#: A text in JSON, or a number that JSON has not.
_NOT_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\b(\s*\([^)]*\))?", re.IGNORECASE)


def published_path(settings: Settings) -> Path:
    """Where the published copy to read is: the named market's or warehouse's, else the last run's."""
    current = settings.home / "current"
    named = "mode" in settings.model_fields_set or settings.warehouse is not None
    return (settings.published if named or not current.exists() else current / "published") / settings.copy_name


def published_copy(settings: Settings) -> Path:
    """The published copy to read. Raises `ValueError` where nothing is published."""
    path = published_path(settings)
    if not path.is_file() and not ducklake.is_lake(path):  # a lake may have been published from another machine
        raise ValueError(f"nothing is published at {path.absolute()}: `perps run` first, or name its --home or --warehouse")
    return path


def attached(path: Path, memory_mb: int | None = None) -> duckdb.DuckDBPyConnection:
    """A database in memory with the published copy, read only, in UTC, that reaches no other file and no variable of Python.

    With `memory_mb`, a query that needs more ends with an error; else it may use DuckDB's files for temporary data.
    """
    is_lake = ducklake.is_lake(path)
    db = duckdb.connect(config={"python_enable_replacements": "false", "allow_unsigned_extensions": str(is_lake).lower()})
    try:
        if is_lake:
            ducklake.attach(db, path, name=CATALOG)
            db.execute(f"SET GLOBAL allowed_directories = [{quoted(ducklake.data_path(path))}]")
        else:
            db.execute(f"ATTACH {quoted(str(path))} AS {CATALOG} (READ_ONLY)")
        db.execute("SET GLOBAL TimeZone = 'UTC'")
        db.execute(f"SET GLOBAL temp_directory = {quoted('' if memory_mb else f'{path}.tmp')}")
        if memory_mb:
            db.execute(f"SET GLOBAL memory_limit = '{memory_mb} MB'")
        db.execute("SET GLOBAL enable_external_access = false")
        enter(db)
    except BaseException:
        db.close()
        raise
    return db


def enter(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Let a connection to an attached copy find its tables without a schema's name."""
    return db.execute(f"SET search_path = '{CATALOG}.marts,{CATALOG}.meta'")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises ValueError where the file can't be used, or lacks a table or column: another version of perplake published it."""
    try:
        yield
    except (duckdb.CatalogException, duckdb.BinderException) as problem:
        first_line = str(problem).partition("\n")[0]
        raise ValueError(
            f"{path} was published by another version of perplake ({first_line}): `perps run` publishes it again"
        ) from None
    except WarehouseMismatch as problem:
        raise ValueError(str(problem)) from None
    except (*FILE_ERRORS, duckdb.PermissionException) as problem:  # the latter: it is a file of another database
        if ducklake.is_lake(path):
            raise ValueError(ducklake.unusable(problem)) from None
        raise ValueError(unusable(path, problem, "it is damaged: `perps run` publishes it again")) from None


@contextmanager
def reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session on a published copy, with the errors of `explained`."""
    with explained(path), attached(path) as db:
        yield db


def question(db: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
    """The answer to a question from outside: one statement that only reads. Raises `ValueError`, in one line, for any other."""
    with asked():
        if len(statements := db.extract_statements(sql)) != 1:
            raise ValueError("a query is one statement")
        kind = statements[0].type
        if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
            raise ValueError("that statement gives no rows; a query only reads")
        select = _EXPLAIN.sub("", sql, count=1) if kind == duckdb.StatementType.EXPLAIN else sql
        parsed = json.loads(db.execute("SELECT json_serialize_sql(?::VARCHAR)", [select]).fetchall()[0][0])
        if parsed["error"]:
            raise ValueError(f"that statement can't be checked ({parsed['error_message']}); a query is one SELECT")
        if other := sorted(set(_table_functions(parsed)) - _FUNCTIONS):
            raise ValueError(f"{', '.join(other)}: a query only reads the published copy")
        if (answer := db.sql(sql, params=parameters)) is None:
            raise ValueError("that statement gives no rows; a query only reads")
        return answer


def json_rows(answer: duckdb.DuckDBPyRelation) -> Iterator[str]:
    """The rows of an answer as JSON, with the values as DuckDB writes them: whole. Infinity and what is not a number are null."""
    rows = answer.set_alias("row_of_answer").project("to_json(row_of_answer)")
    while some := rows.fetchmany(10_000):
        yield from (_NOT_FINITE.sub(lambda found: found[0] if found[0][0] == '"' else "null", row) for (row,) in some)


@contextmanager
def asked() -> Iterator[None]:
    """DuckDB's errors about a question as `ValueError` in one line; those about the file, and an interrupt, as they are."""
    try:
        yield
    except (*FILE_ERRORS, duckdb.InterruptException):
        raise
    except duckdb.Error as problem:
        raise ValueError(" ".join(re.split(r"\n\s*LINE \d+:", str(problem))[0].split())) from None


@contextmanager
def within(db: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what a connection runs after some seconds. Raises `ValueError` then."""
    over, late = Event(), Event()

    def interrupt() -> None:
        wait = seconds
        while not over.wait(wait):
            late.set()
            db.interrupt()  # again and again: between two statements an interrupt is lost
            wait = 0.001

    watch = Thread(target=interrupt, daemon=True)
    watch.start()
    try:
        yield
    except duckdb.Error:  # between execution and reading an interrupt has other errors than its own
        if not late.is_set():
            raise
        raise ValueError(f"the query took more than {seconds:g} s: ask for less, by day or by asset") from None
    finally:
        over.set()
        watch.join()


def _table_functions(node: Any) -> Iterator[str]:
    """The names of the table functions in a parsed statement."""
    if isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            yield str(node["function"]["function_name"]).lower()
        for value in node.values():
            yield from _table_functions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _table_functions(value)
