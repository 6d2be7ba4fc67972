"""The published marts in PostgreSQL, for tools that speak only that, brought up to date by the days that changed.

    published/perplake.duckdb ──► schemas marts and meta of the database at PERPLAKE_POSTGRES_URL

`meta.partitions` in PostgreSQL has the checksums of its rows, as in the published file (`assets.defs.snapshot`), and only days
whose two differ are deleted and sent again, by COPY. All of it is one transaction: a reader sees the state before or the state
after, and a failure or a kill leaves the state before. Tables and columns have their comments, times are `timestamptz`.

The URL is a secret, which no message has. Alone: ``copy_to_postgres(published, url)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import duckdb

from assets.defs.snapshot import Mart, columns_of, comments_of
from pipelines import warehouse
from pipelines.meta_tables import quoted

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

#: The variable with the database's URL, `postgresql://USER:<PASSWORD>@host/database`.
VARIABLE = "PERPLAKE_POSTGRES_URL"
#: PostgreSQL's types by DuckDB's; it has no unsigned ones. Values of other types are text.
TYPES = {
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "double precision",
    "INTEGER": "integer",
    "TIMESTAMP": "timestamp with time zone",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "UBIGINT": "numeric(20,0)",
    "VARCHAR": "text",
}
#: What says which market is published, when and by which run, and the checksums of the marts' days.
META = {
    "published": 'SELECT published_at, run, (SELECT market FROM meta.scope) AS "market" FROM meta.published',
    "partitions": "SELECT mart, day, rows, digest::VARCHAR AS digest, layout FROM meta.partitions",
}
ROWS_AT_A_TIME = 100_000


class PostgresError(Exception):
    """What PostgreSQL refused, without the URL's secrets."""


def copy_to_postgres(published: Path, url: str) -> dict[str, int]:
    """Bring the schemas `marts` and `meta` of a PostgreSQL database up to date with a published copy, in one transaction.

    Gives the number of rows sent, of each mart that changed. The schemas are perplake's own: other tables in `marts` are dropped.
    Raises `PostgresError`, also where the database holds another market.
    """
    with warehouse.connect(published, read_only=True) as copy, _connected(url) as cursor:
        copy.execute("SET TimeZone = 'UTC'")
        (catalog,) = copy.execute("SELECT current_database()").fetchall()[0]
        for schema in ("marts", "meta"):
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        views = {name for (name,) in copy.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'marts'").fetchall()}
        marts = [Mart(name, columns) for name, columns in columns_of(copy, catalog, "marts").items() if name not in views]
        there = _tables(cursor)
        _refuse_another_market(copy, cursor, there)
        for schema, name in there:
            if schema == "marts" and name not in {mart.name for mart in marts}:
                cursor.execute(f'DROP TABLE marts."{name}"')
        before, now = _partitions(cursor, there), _by_mart(copy.execute(META["partitions"]).fetchall())
        rows = {}
        for mart in marts:
            is_new = _make(cursor, "marts", mart, there.get(("marts", mart.name)))
            was, is_ = {} if is_new else before.get(mart.name, {}), now.get(mart.name, {})
            if days := {day for day in was | is_ if was.get(day) != is_.get(day)}:
                if not is_new:
                    cursor.execute(f'DELETE FROM marts."{mart.name}" WHERE {mart.of_days(days)}')
                rows[mart.name] = _send(copy, cursor, "marts", mart, f'FROM marts."{mart.name}" WHERE {mart.of_days(days)}')
        for name, sql in META.items():
            columns = copy.execute(f"DESCRIBE {sql}").fetchall()
            table = Mart(name, tuple((column, kind) for column, kind, *_ in columns))
            if not _make(cursor, "meta", table, there.get(("meta", name))):
                cursor.execute(f"DELETE FROM meta.{name}")
            _send(copy, cursor, "meta", table, f"FROM ({sql})")
        _comment(copy, cursor, catalog, {("marts", mart.name) for mart in marts} | {("meta", name) for name in META})
        return rows


@contextmanager
def _connected(url: str) -> Iterator[Cursor]:
    """A transaction, committed where the block ends well. Raises `PostgresError`."""
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise PostgresError("the driver is not installed: pip install adbc-driver-postgresql") from None
    if not _is_readable(url):
        raise PostgresError(
            "its URL can't be read: write postgresql://USER:<PASSWORD>@HOST/DATABASE, %25 for a % in the password"
        )
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            cursor.execute("SET lock_timeout = '60s'")  # a table that changes its columns waits for its readers
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('perplake'))")  # one publication at a time
            cursor.fetchall()
            yield cursor
            connection.commit()
    except dbapi.Error as problem:
        raise PostgresError(_redacted(str(problem), url)) from None


def _is_readable(url: str) -> bool:
    """False for a URL that libpq would not understand, and repeat in part."""
    try:
        return urlsplit(url).scheme in ("postgres", "postgresql") and not re.search(r"\s|%(?![0-9A-Fa-f]{2})", url)
    except ValueError:
        return False


def _redacted(text: str, url: str) -> str:
    """A message in one line, without the URL and its password."""
    password = urlsplit(url).password or ""
    for secret in {url, password, unquote(password)} - {""}:
        text = text.replace(secret, "[removed]")
    return " ".join(text.split())


def _tables(cursor: Cursor) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """The tables of `marts` and `meta` in PostgreSQL, each with its columns and their types, in order."""
    cursor.execute(
        "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE n.nspname IN ('marts', 'meta') AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2, a.attnum"
    )
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, table, column, kind in cursor.fetchall():
        found.setdefault((schema, table), []).append((column, kind))
    return {key: tuple(columns) for key, columns in found.items()}


def _refuse_another_market(copy: duckdb.DuckDBPyConnection, cursor: Cursor, there: Any) -> None:
    """Raises `PostgresError` where the database has another market: their rows are never mixed, nor replaced by each other."""
    if ("meta", "published") in there:
        cursor.execute("SELECT market FROM meta.published")
        ours = copy.execute("SELECT market FROM meta.scope").fetchall()
        if (theirs := cursor.fetchall()) != ours:
            raise PostgresError(f"it holds the market {theirs[0][0]!r}, not {ours[0][0]!r}: name another database")


def _partitions(cursor: Cursor, there: Any) -> dict[str, dict[Any, tuple[Any, ...]]]:
    if ("meta", "partitions") not in there:
        return {}
    cursor.execute("SELECT mart, day, rows, digest, layout FROM meta.partitions")
    return _by_mart(cursor.fetchall())


def _by_mart(rows: list[tuple[Any, ...]]) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """Checksums by mart and day."""
    found: dict[str, dict[Any, tuple[Any, ...]]] = {}
    for mart, day, *digest in rows:
        found.setdefault(mart, {})[day] = tuple(digest)
    return found


def _make(cursor: Cursor, schema: str, table: Mart, there: tuple[tuple[str, str], ...] | None) -> bool:
    """Make a table that is not there or has other columns. True where it was made."""
    wanted = tuple((column, TYPES.get(kind, "text")) for column, kind in table.columns)
    if there == wanted:
        return False
    if there:
        cursor.execute(f'DROP TABLE {schema}."{table.name}"')
    columns = ", ".join(f'"{column}" {kind}' for column, kind in wanted)
    cursor.execute(f'CREATE TABLE {schema}."{table.name}" ({columns})')
    if table.time:
        cursor.execute(f'CREATE INDEX ON {schema}."{table.name}" USING brin ("{table.time}")')
    return True


def _send(copy: duckdb.DuckDBPyConnection, cursor: Cursor, schema: str, table: Mart, what: str) -> int:
    """Send rows of the published copy into a table; how many."""
    columns = ", ".join(f'{_value(column, kind)} AS "{column}"' for column, kind in table.columns)
    reader = copy.execute(f"SELECT {columns} {what}").to_arrow_reader(ROWS_AT_A_TIME)
    return int(cursor.adbc_ingest(table.name, reader, mode="append", db_schema_name=schema))


def _value(column: str, kind: str) -> str:
    """A column as SQL, with values that PostgreSQL can have; its text has no character 0."""
    if TYPES.get(kind, "text") == "text":
        return f"replace(\"{column}\"::VARCHAR, chr(0), '')"
    return f'"{column}"::DECIMAL(20, 0)' if kind == "UBIGINT" else f'"{column}"'


def _comment(copy: duckdb.DuckDBPyConnection, cursor: Cursor, catalog: str, tables: set[tuple[str, str]]) -> None:
    """Write the comments of tables and columns that differ."""
    cursor.execute(
        "SELECT n.nspname, c.relname, coalesce(a.attname, ''), d.description FROM pg_description AS d "
        "JOIN pg_class AS c ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname IN ('marts', 'meta') "
        "LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0"
    )
    written = {tuple(key): text for *key, text in cursor.fetchall()}
    for (schema, table, column), text in comments_of(copy, catalog).items():
        if (schema, table) in tables and written.get((schema, table, column)) != text:
            what = f'COLUMN {schema}."{table}"."{column}"' if column else f'TABLE {schema}."{table}"'
            cursor.execute(f"COMMENT ON {what} IS {quoted(text)}")
