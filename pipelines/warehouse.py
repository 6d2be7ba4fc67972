"""The warehouse: one DuckDB file, or a lake, with one writer, the raw tables, and the bookkeeping of runs (schema `meta`).

Every raw table exists, empty at first, so that dbt's models work after a run of one source. All sessions are in UTC. A file lock
beside the warehouse, shared by the command line, the UI and the schedules, lets in one writer at a time; of a lake
(`pipelines.ducklake`), locks in its catalog do so for all machines, and let loads of different sources run side by side.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from pipelines import __version__, ducklake
from pipelines.errors import DISK_FULL, FREE_ROOM, WarehouseMismatch, printable
from pipelines.files import regular
from pipelines.meta_tables import META_TABLES, create_meta_tables, quoted
from pipelines.registry import source_rows
from pipelines.settings import Settings
from pipelines.source import Endpoint
from pipelines.sources import get_source
from pipelines.windows import Window, to_datetime

#: Raised when an older warehouse can't be used any more; `perps run --mode replay` rebuilds one from landing.
SCHEMA = 1

#: What DuckDB raises for a file that it can't read or write.
FILE_ERRORS = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)

#: What mends that a table of another step isn't there.
NOT_MADE_YET = "materialise first what it is made of, or `perps run`, which makes everything"

_log = logging.getLogger("perplake.waiting")
_log.setLevel(logging.WARNING)  # shown whatever the level of the others

_TYPES = {
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us"): "TIMESTAMP",
}
#: The defaults of columns that a warehouse of an earlier version lacks.
_DEFAULTS = {"nth": " DEFAULT 0", "_place": " DEFAULT 0"}


def naive(ms: int) -> datetime:
    """Milliseconds as the warehouse's timestamps: UTC, without a zone."""
    return to_datetime(ms).replace(tzinfo=None)


def memory_limit() -> str:
    """DuckDB's half of the setting `memory_gb`; the other is for Python, dbt, Dagster and the emulator."""
    return f"{Settings().memory_gb / 2 * 1000:.0f}MB"


@contextmanager
def connect(path: Path, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session in UTC. Raises `WarehouseMismatch` where another process holds the file, or it can't be read or written, or lacks
    a table that is read.

    An empty file is what a full disk leaves of a new warehouse: it is made anew.
    """
    if ducklake.is_lake(path):
        with _lake(path, read_only) as connection:
            yield connection
        return
    if path.exists() and not path.is_file():  # opening a pipe might never end
        raise WarehouseMismatch(f"{path} is no file: move it away, or name another with --warehouse")
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and not path.stat().st_size and not Path(f"{path}.wal").exists():
            path.unlink()
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as problem:
        raise WarehouseMismatch(unusable(path, problem)) from None
    try:
        connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{memory_limit()}'")
        yield connection
    except FILE_ERRORS as problem:
        raise WarehouseMismatch(unusable(path, problem)) from problem
    except duckdb.CatalogException as problem:
        raise WarehouseMismatch(f"{path}: {str(problem).partition(chr(10))[0]}: {NOT_MADE_YET}") from problem
    finally:
        connection.close()


#: By lake and whether it is read only: databases in memory that have it attached, which takes a fifth of a second.
_attached: dict[tuple[Path, bool], duckdb.DuckDBPyConnection] = {}
_attaching = Lock()


@contextmanager
def _lake(path: Path, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session in a lake, in a database that this process keeps; what has been published is attached anew each time."""
    if ducklake.is_published(path):
        with _attach(path, read_only=True) as connection:
            yield connection
        return
    key = (path.resolve(), read_only)
    with _attaching:
        if not (database := _attached.get(key)):
            database = _attached[key] = _attach(path, read_only)
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()  # says that the warehouse is there
    try:
        with ducklake.explained(), database.cursor() as connection:
            connection.execute(f"USE {ducklake.NAME}; SET TimeZone = 'UTC'")
            yield connection
    except duckdb.CatalogException as problem:
        raise WarehouseMismatch(f"{path}: {str(problem).partition(chr(10))[0]}: {NOT_MADE_YET}") from problem
    except WarehouseMismatch:
        with _attaching:
            _attached.pop(key, None)  # its connections may be those of a server that is gone
        raise


def _attach(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    try:
        connection.execute(f"SET memory_limit = '{memory_limit()}'")
        ducklake.attach(connection, path, read_only=read_only)
        connection.execute(f"USE {ducklake.NAME}; SET TimeZone = 'UTC'")
    except BaseException:
        connection.close()
        raise
    return connection


def unusable(path: Path, problem: Exception, mended_by: str = "") -> str:
    """Why DuckDB can't use a file, and what mends it."""
    reason = str(problem).partition("\n")[0]
    return f"{path} can't be opened: {reason}; {mends(reason, mended_by)}"


def mends(reason: str, damaged: str = "") -> str:
    """What mends a file that DuckDB can't use: `damaged` where its content is, by default what mends a warehouse."""
    for words, remedy in {
        "set lock": "wait until another program has closed it; readers use the published copy (`perps status` names it)",
        DISK_FULL.pattern: f"the disk is full: {FREE_ROOM}",
        "permission denied|read-only": "make the file and its folder writable, or name another with --warehouse or --home",
        "not exist|no such file": "run `perps run` first",
    }.items():
        if re.search(words, reason, re.IGNORECASE):
            return remedy
    return damaged or (
        "it is damaged: move it away, then `perps restore` brings back a backup, or `perps run --mode replay` builds it anew "
        "from landing"
    )


@contextmanager
def one_writer(path: Path, sources: Iterable[str] | None = None, wait: float = 3600, patience: float = 2) -> Iterator[None]:
    """Hold the writer's lock. Says whom it waits for after `patience` seconds.

    Who loads only these `sources` into a lake shares it with those who load others. Raises `WarehouseMismatch` after `wait`
    seconds of waiting.
    """
    if ducklake.is_lake(path):
        shared, alone = ([], ["writer"]) if sources is None else (["writer"], list(sources))
        with ducklake.locked(path, shared, alone, wait):
            yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(f"{path}.lock"), Path(f"{path}.writer")
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        _log.warning("waiting for %s, which writes %s; Ctrl-C stops the wait", _writer(holder), path)
        try:
            lock.acquire(timeout=wait - patience)
        except Timeout:
            problem = f"{_writer(holder)} has been writing {path} for {wait / 60:.0f} minutes; wait for it or stop it"
            raise WarehouseMismatch(problem) from None
    try:
        with suppress(OSError):  # a full disk: the note is for messages alone
            regular(holder).write_text(f"process {os.getpid()} (since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC)")
        yield
    finally:
        lock.release()


@contextmanager
def noting(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session that writes to `meta`, for moments: of a lake one at a time, beside whoever loads."""
    with ducklake.locked(path, [], ["notes"], 600) if ducklake.is_lake(path) else nullcontext(), connect(path) as connection:
        yield connection


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """One for many statements: hundreds of files would each wait for the disk. Of a lake, none is committed without its lock."""
    connection.begin()
    try:
        yield
        ducklake.check_locks()
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _writer(holder: Path) -> str:
    try:
        return printable(regular(holder).read_text(errors="replace")[:200]) or "another process"
    except OSError:
        return "another process"


def prepare(connection: duckdb.DuckDBPyConnection, market: str) -> None:
    """Create missing schemas and tables, and set the warehouse's market where it has none.

    Raises `WarehouseMismatch` when the warehouse belongs to another market or another version of perplake.
    """
    is_lake = ducklake.is_attached(connection)
    if not is_lake:
        _change_tables_of_0_1(connection)
    if not is_lake or not _has_meta_tables(connection):
        with transaction(connection):
            connection.execute(create_meta_tables(is_lake))
    known = connection.execute("SELECT schema, version, market FROM meta.warehouse").fetchone()
    if known is None:
        now = datetime.now(UTC).replace(tzinfo=None)
        with transaction(connection):
            connection.execute("INSERT INTO meta.warehouse VALUES (?, ?, ?, ?)", [SCHEMA, __version__, market, now])
    elif known[0] != SCHEMA:
        raise WarehouseMismatch(
            f"this warehouse was made by perplake {known[1]} (schema {known[0]}); this is {__version__} (schema {SCHEMA}). "
            "Landing stays valid: `perps run --mode replay --warehouse NEW.duckdb` builds a new one from it"
        )
    elif known[2] != market:
        raise WarehouseMismatch(
            f"this warehouse holds the market {known[2]!r}, the run is of {market!r}: they are never mixed. "
            "Give the run a warehouse of its own with --warehouse"
        )
    with transaction(connection):  # each commit waits for the disk
        create_raw_tables(connection)


def _has_meta_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    """True if no table or column of `meta` is missing. In a lake each statement that makes one is sent to the catalog."""
    columns = {(name, c) for name, table in META_TABLES.items() for c in table.columns}
    sql = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = 'meta'"
    return columns <= set(connection.execute(sql).fetchall())


def put(
    connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Sequence[Any]] | pa.Table, replace: bool = False
) -> None:
    """Insert rows into a table of `meta` with a key: where the key is there, the row stays as it is, or is replaced.

    A lake has no keys, so none is relied on. Of rows with one key the first counts, or with `replace` the last; those of an Arrow
    table have one key each.
    """
    if not len(rows):
        return
    table = META_TABLES[name]
    key = ", ".join(f'"{column}"' for column in table.key)
    if isinstance(rows, pa.Table):
        given, values = "given", []
        connection.register(given, rows)
    else:
        columns = list(table.columns)
        places = [columns.index(column) for column in table.key]
        ordered = rows if replace else rows[::-1]
        by_key = {tuple(row[n] for n in places): dict(zip(columns, row, strict=True)) for row in ordered}
        fields = ", ".join(f'"{column}" {kind}' for column, (kind, _) in table.columns.items())
        given, values = f"(SELECT unnest($1::STRUCT({fields})[], max_depth := 2))", [list(by_key.values())]
    if replace:
        connection.execute(f"DELETE FROM meta.{name} WHERE ({key}) IN (SELECT ({key}) FROM {given})", values)
    connection.execute(f"INSERT INTO meta.{name} BY NAME FROM {given} ANTI JOIN meta.{name} USING ({key})", values)
    if isinstance(rows, pa.Table):
        connection.unregister(given)


def raw_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The number of rows of each raw table, roughly: those that were deleted since may count."""
    return {name: rows for name, rows, _ in _raw_tables(connection)}


def _raw_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, str | None]]:
    if ducklake.is_attached(connection):
        return ducklake.tables(connection, "raw")
    sql = "SELECT table_name, estimated_size, comment FROM duckdb_tables() WHERE schema_name = 'raw'"
    return connection.execute(sql).fetchall()


def _change_tables_of_0_1(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the `meta` tables of a warehouse of version 0.1 their names of today; columns that they lack come with the tables."""
    sql = "SELECT 1 FROM duckdb_constraints() WHERE table_name = 'quarantine' AND constraint_name LIKE '%dataset_page_pkey'"
    if connection.execute(sql).fetchone():
        connection.execute("DROP TABLE meta.quarantine")  # made anew by the next load, which reads these pages again
    sql = "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'meta'"
    columns = set(connection.execute(sql).fetchall())
    if ("run_info", "source") in columns:
        connection.execute("ALTER TABLE meta.run_info RENAME TO scope; ALTER TABLE meta.scope RENAME COLUMN source TO mode")
    if ("runs", "source") in columns:
        connection.execute("ALTER TABLE meta.runs RENAME COLUMN source TO mode")
    if ("built", "run_info") in columns:
        connection.execute("ALTER TABLE meta.built RENAME COLUMN run_info TO scope")
    if ("versions", "page") in columns and ("versions", "place") not in columns:
        connection.execute("ALTER TABLE meta.versions ADD COLUMN place BIGINT DEFAULT 0")
    if ("forecasts_live", "basis") in columns:
        connection.execute("ALTER TABLE meta.forecasts_live RENAME COLUMN basis TO run_type")


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the missing raw tables of all sources with a comment, and add missing columns to the others."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    sql = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = 'raw'"
    existing: dict[str, set[str]] = defaultdict(set)
    for name, column in connection.execute(sql).fetchall():
        existing[name].add(column)
    comments = {name: comment for name, _, comment in _raw_tables(connection)}
    for source, row in ((get_source(name), row) for name, row in source_rows().items()):
        for endpoint in source.tables:
            name = source.raw_table(endpoint)
            types = {f.name: f"{_TYPES[f.type]}{_DEFAULTS.get(f.name, '')}" for f in endpoint.schema}
            if name not in existing:
                columns = [f'"{f.name}" {types[f.name]}{"" if f.nullable else " NOT NULL"}' for f in endpoint.schema]
                connection.execute(f'CREATE TABLE raw."{name}" ({", ".join(columns)})')
            else:
                for column in types.keys() - existing[name]:
                    connection.execute(f'ALTER TABLE raw."{name}" ADD COLUMN "{column}" {types[column]}')
            comment = _comment(row.title, endpoint)
            if comments.get(name) != comment:
                connection.execute(f'COMMENT ON TABLE raw."{name}" IS {quoted(comment)}')


def _comment(title: str, endpoint: Endpoint) -> str:
    """A raw table's comment: system, endpoint, units, key; and what the record's docstring says."""
    stated = " ".join((vars(endpoint.record).get("__doc__") or "").split())
    return f"{title}: `{endpoint.name}` as sent, in the source's units. Key: {', '.join(endpoint.primary_key)}. {stated}".rstrip()


def mark_changed(connection: duckdb.DuckDBPyConnection, window: Window) -> None:
    """Note that raw rows of a window are about to change, so that the tables derived from them are stale until dbt has run."""
    connection.execute("INSERT INTO meta.changed VALUES (?, ?)", [naive(window.start), naive(window.end)])


def changed(connection: duckdb.DuckDBPyConnection) -> tuple[datetime, datetime] | None:
    """The hull of all windows changed since the last run of dbt, UTC without a zone; None when nothing changed."""
    row = connection.execute("SELECT min(window_start), max(window_end) FROM meta.changed").fetchone()
    return (row[0], row[1]) if row and row[0] else None


def as_of(connection: duckdb.DuckDBPyConnection) -> tuple[datetime, datetime]:
    """The empty window at the run's clock, for a run without new rows: only the expected rows change."""
    row = connection.execute("SELECT as_of, as_of FROM meta.scope").fetchone()
    assert row, "note_run comes first"
    return row[0], row[1]


@dataclass(frozen=True)
class Built:
    """What the marts were made by: the fingerprint of the dbt project, the scope as text, and the sources that had raw rows."""

    project: str
    scope: str
    sources: list[str]


def built(connection: duckdb.DuckDBPyConnection) -> Built | None:
    """What the marts were made by; None where they were not made."""
    row = connection.execute("SELECT project, scope, coalesce(sources, []) FROM meta.built").fetchone()
    return Built(*row) if row else None


def note_built(connection: duckdb.DuckDBPyConnection, project: str) -> None:
    """Note that this dbt project has transformed all changes."""
    with transaction(connection):
        connection.execute("DELETE FROM meta.changed; DELETE FROM meta.built")
        connection.execute("INSERT INTO meta.built VALUES (?, ?, ?)", [project, scope(connection), loaded_sources(connection)])


def loaded_sources(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The sources that have raw rows, by name; the macro `loaded_sources` of the dbt project has the same rule."""
    names = {table.partition("__")[0] for table, rows in raw_rows(connection).items() if rows}
    return sorted(names & source_rows().keys())


def scope(connection: duckdb.DuckDBPyConnection) -> str:
    """The row of `meta.scope`, as text to compare."""
    return str(connection.execute("SELECT * FROM meta.scope").fetchall())


def quarantined(connection: duckdb.DuckDBPyConnection, source: str) -> dict[tuple[str, str, str], str]:
    """The pages of a source in quarantine (source, endpoint's name, page), each with the first run that has it there."""
    sql = "SELECT source, dataset, page, min(run) FROM meta.quarantine WHERE source = ? GROUP BY ALL"
    return {(name, dataset, page): run for name, dataset, page, run in connection.execute(sql, [source]).fetchall()}


def note_quarantine(connection: duckdb.DuckDBPyConnection, pages: set[tuple[str, str, str]], rows: list[tuple[Any, ...]]) -> None:
    """Replace what is noted about the pages that were read (source, endpoint's name, page).

    Rows: source, endpoint's name, path label, field, value, problem, page, run, observed_at.
    """
    known = connection.execute("SELECT DISTINCT source, dataset, page FROM meta.quarantine").fetchall()
    for page in pages.intersection(known):
        connection.execute("DELETE FROM meta.quarantine WHERE source = ? AND dataset = ? AND page = ?", list(page))
    put(connection, "quarantine", rows, replace=True)


def note_run(
    connection: duckdb.DuckDBPyConnection,
    market: str,
    origin: str,
    mode: str,
    window: Window,
    as_of: int,
    assets: list[str],
    venues: list[str],
    source: str,
) -> None:
    """Widen the warehouse's scope by a source of a run: the hull of all windows, all that was ever requested.

    The caller has begun a transaction.
    """
    sql = "SELECT window_start, window_end, as_of, assets, venues, origin, coalesce(sources, []) FROM meta.scope"
    known = connection.execute(sql).fetchone()
    sources = [f"{source}:{venue}" for venue in venues]
    start, end, now = naive(window.start), naive(window.end), naive(as_of)
    if known:
        start, end, now = min(start, known[0]), max(end, known[1]), max(now, known[2])
        assets, venues, origin = sorted({*assets, *known[3]}), sorted({*venues, *known[4]}), origin or known[5]
        sources = [*sources, *known[6]]
    kind, is_proxy = origin.partition(";")[0], "proxy" in origin
    row = [market, kind, mode, start, end, now, sorted(assets), sorted(venues), is_proxy, sorted(set(sources))]
    connection.execute("DELETE FROM meta.scope")
    connection.execute("INSERT INTO meta.scope VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def note_outcome(
    connection: duckdb.DuckDBPyConnection,
    run: str,
    mode: str,
    window: Window,
    started: datetime,
    outcome: str,
    messages: list[str],
) -> None:
    """Store the outcome of a run, for `perps status`."""
    now = datetime.now(UTC).replace(tzinfo=None)
    row = [run, mode, naive(window.start), naive(window.end), started, now, outcome, messages]
    put(connection, "runs", [row], replace=True)
