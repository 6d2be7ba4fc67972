"""The lake: the warehouse under `PERPLAKE_PROFILE=lake`, a DuckLake with its catalog in PostgreSQL and its rows as Parquet on S3.

    worker ──► Parquet files under `lake_data` ──► a snapshot in the catalog ──► readers, at the snapshot published last

A lake is named by a path, as a file is: `<home>/<market>/warehouse.lake` is what it holds now,
`<home>/<market>/published/perplake.lake` what was published last. The folder's name is the market, which has a schema of its own
in the catalog and a folder of its own under `lake_data`; the two files themselves are empty, and other machines may lack them.
Publishing is one commit, whose message says so: nothing is copied, and readers attach that snapshot.

The catalog's URL is a secret (`PERPLAKE_LAKE_CATALOG`), keys of S3 are those that boto finds (`AWS_…`). Locks are advisory locks
in the catalog's database: they hold for all machines, and are free once a worker's connection ends.
Alone: `with warehouse.connect(Path(".perplake/live/warehouse.lake")) as db: db.sql("FROM warehouse.snapshots()").show()`.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb

from pipelines.errors import WarehouseMismatch
from pipelines.meta_tables import quoted
from pipelines.settings import LAKE, Settings

#: The variable with the catalog's URL: a PostgreSQL database.
VARIABLE = "PERPLAKE_LAKE_CATALOG"
#: The catalog's name in a session, as of the file `warehouse.duckdb`: dbt's relations have the same names in both.
NAME = "warehouse"
#: The message of a snapshot that is published.
PUBLISHED = "published"
INSTALL = "pip install 'perplake[lake]'"
#: What DuckDB raises where the catalog or the files can't be reached.
ERRORS = (
    duckdb.IOException,
    duckdb.HTTPException,
    duckdb.ConnectionException,
    duckdb.TransactionException,
    duckdb.FatalException,
)
_EXTENSIONS = ("postgres", "httpfs", "ducklake")


def is_lake(path: Path) -> bool:
    """True of a path that names a lake, not a file."""
    return path.suffix == LAKE


def is_published(path: Path) -> bool:
    """True of a path that names what a lake has published."""
    return is_lake(path) and path.stem != NAME


def market(path: Path) -> str:
    """The market of a lake: the name of the folder that has its path."""
    folder = path.resolve().parent
    return (folder.parent if is_published(path) else folder).name


def data_path(path: Path) -> str:
    """Where the lake's Parquet files are: a folder, or an `s3://` URL, that ends with a slash."""
    root = Settings().lake_data or str(path.resolve().parents[1 + is_published(path)] / "lake")
    return f"{root.rstrip('/') if '://' in root else Path(root).resolve()}/{market(path)}/"


def attach(
    db: duckdb.DuckDBPyConnection, path: Path, *, name: str = NAME, read_only: bool = False, snapshot: int | None = None
) -> None:
    """Attach a lake, or a snapshot of it. A path of what is published is the snapshot that was published last, read only.

    `db` has to allow unsigned extensions: the packages are locked by their hashes, and to verify 100 MB takes a second.
    Raises `WarehouseMismatch` where that can't be, without the URL's password.
    """
    _load(db)
    data = data_path(path)
    secret, more = _catalog_secret(_url())
    read_only = read_only or is_published(path)
    options = f"META_SECRET 'lake_catalog', METADATA_SCHEMA {quoted(market(path))}, DATA_PATH {quoted(data)}"
    here = f"ATTACH {quoted(f'ducklake:postgres:{more}')} AS {name}"
    here = f"{here} ({options}{', READ_ONLY' if read_only else ''}"
    if "://" not in data and not read_only:
        Path(data).mkdir(parents=True, exist_ok=True)
    try:
        if "://" in data:
            db.execute(_s3_secret())
        db.execute(f"CREATE OR REPLACE SECRET lake_catalog (TYPE postgres, {secret})")
        if is_published(path) and snapshot is None:
            db.execute(f"{here})")
            snapshot = published_snapshot(db, path, name)
            db.execute(f"DETACH {name}")
        at = "" if snapshot is None else f", SNAPSHOT_VERSION {int(snapshot)}"
        db.execute(f"{here}{at})")
    except duckdb.Error as problem:
        if "catalog version mismatch" in str(problem) and not read_only:  # one worker of a newer version brings it up to date
            with locked(path, [], ["migration"], 600), explained():
                db.execute(f"{here}, AUTOMATIC_MIGRATION)")
            return
        if "creating a new DuckLake is explicitly disabled" in str(problem):
            raise WarehouseMismatch(_unpublished(path)) from None
        raise WarehouseMismatch(unusable(problem)) from None


def published_snapshot(db: duckdb.DuckDBPyConnection, path: Path, name: str = NAME) -> int:
    """The snapshot that was published last, or by the time in the path. Raises `WarehouseMismatch` where nothing is published."""
    of, by = _metadata(db, name), path.stem.partition("@")[2]
    until = f"TIMESTAMPTZ {quoted(f'{by}+00')}" if by else "now()"
    (found,) = db.execute(
        f"SELECT max(snapshot_id) FROM {of}.ducklake_snapshot_changes JOIN {of}.ducklake_snapshot USING (snapshot_id) "
        f"WHERE commit_message = '{PUBLISHED}' AND snapshot_time <= {until}"
    ).fetchall()[0]
    if found is None:
        raise WarehouseMismatch(_unpublished(path))
    return int(found)


def _unpublished(path: Path) -> str:
    if by := path.stem.partition("@")[2]:
        return f"the lake of {market(path)} has nothing that was published by {by} UTC: it keeps `lake_days` of publications"
    return f"nothing is published in the lake of {market(path)}: `perps run` first, or name its --mode"


def snapshot(db: duckdb.DuckDBPyConnection, name: str = NAME) -> int | None:
    """The snapshot at which a lake is attached; None where it is its newest, or what is attached is a file."""
    sql = "SELECT options['snapshot_version'] FROM duckdb_databases() WHERE database_name = ?"
    (found,) = db.execute(sql, [name]).fetchall()[0]
    return int(found) if found else None


def note_published(db: duckdb.DuckDBPyConnection, run: str) -> None:
    """Say of the transaction in progress that its snapshot is published."""
    db.execute(f"CALL {NAME}.set_commit_message('perplake', ?, extra_info => ?)", [PUBLISHED, json.dumps({"run": run})])


def tables(db: duckdb.DuckDBPyConnection, schema: str) -> list[tuple[str, int, str | None]]:
    """The tables of a schema of an attached lake: name, rows ever inserted, comment.

    Read from the catalog: `duckdb_tables()` asks it once for each table, which takes seconds.
    """
    of = _metadata(db, NAME)
    rows: list[tuple[str, int, str | None]] = db.execute(
        f"""
        SELECT t.table_name, coalesce(r.record_count, 0), c.value FROM {of}.ducklake_table AS t
        JOIN {of}.ducklake_schema AS s USING (schema_id) LEFT JOIN {of}.ducklake_table_stats AS r USING (table_id)
        LEFT JOIN {of}.ducklake_tag AS c ON c.object_id = t.table_id AND c.key = 'comment' AND c.end_snapshot IS NULL
        WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL AND s.schema_name = ?
        """,
        [schema],
    ).fetchall()
    return rows


def maintain(db: duckdb.DuckDBPyConnection, path: Path, days: float, grace_hours: float = 24) -> dict[str, int]:
    """Forget old snapshots, merge small files, and delete the files that nothing refers to; what was done, as counts.

    What was published in the last `days`, and the last publication, stay; of other snapshots the newest. Files stay for
    `grace_hours` after nothing refers to them, for who still reads. The caller has the writer's lock. Raises `WarehouseMismatch`
    where a file that the catalog refers to is missing.
    """
    of = _metadata(db, NAME)
    expired = db.execute(
        f"""
        SELECT snapshot_id FROM {of}.ducklake_snapshot LEFT JOIN {of}.ducklake_snapshot_changes USING (snapshot_id)
        WHERE snapshot_id < (SELECT max(snapshot_id) FROM {of}.ducklake_snapshot)
        AND snapshot_id IS DISTINCT FROM
            (SELECT max(snapshot_id) FROM {of}.ducklake_snapshot_changes WHERE commit_message = '{PUBLISHED}')
        AND (commit_message IS DISTINCT FROM '{PUBLISHED}' OR snapshot_time < now() - INTERVAL ({float(days)}) DAY)
        """
    ).fetchall()
    versions = [version for (version,) in expired]
    older = f"older_than => now() - INTERVAL ({float(grace_hours)}) HOUR"

    def call(function: str) -> list[tuple[Any, ...]]:
        check_locks()
        return db.execute(f"CALL ducklake_{function}").fetchall()

    done = {"expired snapshots": len(versions)}
    if versions:
        call(f"expire_snapshots('{NAME}', versions => {versions})")
    call(f"flush_inlined_data('{NAME}')")
    done["merged files"] = sum(row[2] for row in call(f"merge_adjacent_files('{NAME}')"))
    call(f"rewrite_data_files('{NAME}')")
    done["deleted files"] = len(call(f"cleanup_old_files('{NAME}', {older})"))
    done["orphaned files"] = len(call(f"delete_orphaned_files('{NAME}', {older})"))
    there = {file.rpartition("/")[2] for (file,) in db.execute("SELECT file FROM glob(?)", [f"{data_path(path)}**"]).fetchall()}
    referred = db.execute(f"SELECT path FROM {of}.ducklake_data_file UNION SELECT path FROM {of}.ducklake_delete_file").fetchall()
    missing = sorted({file.rpartition("/")[2] for (file,) in referred} - there)
    if missing:
        raise WarehouseMismatch(
            f"{len(missing)} of {len(referred)} files of the lake are missing below {data_path(path)}, such as {missing[0]}: "
            "bring them back from a backup of the bucket, or build a new lake with `perps run --mode replay`"
        )
    return {**done, "files": len(referred)}


def require_empty(path: Path) -> None:
    """Raise `WarehouseMismatch` for a market that has tables in the lake, whatever this machine has of it."""
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as db:
        attach(db, path)
        if db.execute("SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = 'raw'", [NAME]).fetchall():
            raise WarehouseMismatch(f"the lake of {market(path)} has tables already: name another market or catalog")


def is_attached(db: duckdb.DuckDBPyConnection) -> bool:
    """True of a session in a lake."""
    return bool(
        db.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = current_database() AND type = 'ducklake'").fetchall()
    )


def _metadata(db: duckdb.DuckDBPyConnection, name: str) -> str:
    """The catalog's own tables, as a schema of an attached lake."""
    sql = "SELECT options['metadata_schema'] FROM duckdb_databases() WHERE database_name = ?"
    (schema,) = db.execute(sql, [name]).fetchall()[0]
    return f'__ducklake_metadata_{name}."{schema}"'


#: The connections by which this thread holds locks.
_holding: ContextVar[tuple[Any, ...]] = ContextVar("holding", default=())


def check_locks() -> None:
    """Raise `WarehouseMismatch` where a lock of this thread is lost with its connection: another worker may have it now.

    Right before a commit, which then doesn't take place.
    """
    with reachable():
        for cursor in _holding.get():
            cursor.execute("SELECT 1")
            cursor.fetchall()


@contextmanager
def locked(path: Path, shared: Sequence[str], alone: Sequence[str], wait: float) -> Iterator[None]:
    """Hold locks of a lake's market over all machines, `shared` ones beside others who share them.

    Raises `WarehouseMismatch` where others hold them for `wait` seconds, and where the catalog can't be reached.
    """
    with reachable(), connected(autocommit=True) as connection, connection.cursor() as cursor:
        # a machine that is gone without a word is noticed in a minute
        for parameter in ("idle = 30", "interval = 10", "count = 3"):
            cursor.execute(f"SET tcp_keepalives_{parameter}")
        cursor.execute(f"SET lock_timeout = '{wait * 1000:.0f}ms'")
        for kind, names in (("_shared", shared), ("", alone)):
            for name in sorted(names):
                key = zlib.crc32(f"{market(path)} {name}".encode())
                try:
                    cursor.execute(f"SELECT pg_advisory_lock{kind}({zlib.crc32(b'perplake') >> 1}, {key >> 1})")
                    cursor.fetchall()
                except Exception as problem:
                    if "lock timeout" not in str(problem):
                        raise
                    minutes = f"{wait / 60:.0f} minutes" if wait >= 60 else f"{wait:g} seconds"
                    raise WarehouseMismatch(
                        f"another worker has been writing to the lake of {market(path)} for {minutes}; wait for it or stop it"
                    ) from None
        before = _holding.set((*_holding.get(), cursor))
        try:
            yield
        finally:
            _holding.reset(before)


def connected(autocommit: bool = False) -> Any:
    """A connection to the catalog's database, beside that of DuckLake."""
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise WarehouseMismatch(f"the lake's packages are not installed: {INSTALL}") from None
    return dbapi.connect(_url(), autocommit=autocommit)


@contextmanager
def reachable() -> Iterator[None]:
    """Errors of a connection to the catalog as `WarehouseMismatch`, without secrets."""
    try:
        yield
    except Exception as problem:
        if not type(problem).__module__.startswith("adbc_driver_manager"):
            raise
        raise WarehouseMismatch(_unreachable(problem)) from None


@contextmanager
def explained() -> Iterator[None]:
    """DuckDB's errors about what can't be reached as `WarehouseMismatch`, without secrets; a conflict of commits stays one."""
    try:
        yield
    except ERRORS as problem:
        if isinstance(problem, duckdb.TransactionException) and "conflict" in str(problem):
            raise
        raise WarehouseMismatch(unusable(problem)) from None


def unusable(problem: Exception) -> str:
    """Why the lake can't be used, and what mends it, in one line without secrets."""
    reason = _redacted(str(problem).partition("\n")[0])
    if "catalog version mismatch" in reason:
        return f"the lake's catalog ({VARIABLE}) is of another version: `perps run` of the newest perplake brings it up to date"
    if re.search("http|s3|timeout|could not establish", reason, re.IGNORECASE):
        return f"the lake's files can't be reached ({reason}): see `lake_data` and the AWS_… variables; `perps run` goes on"
    return _unreachable(problem)


def _unreachable(problem: Exception) -> str:
    reason = _redacted(str(problem).partition("\n")[0])
    return f"the lake's catalog ({VARIABLE}): {reason}; where the database is there again, `perps run` goes on"


def _load(db: duckdb.DuckDBPyConnection) -> None:
    """Load the extensions from their packages; nothing is downloaded."""
    try:
        from duckdb_extensions import import_extension
    except ImportError:
        raise WarehouseMismatch(f"the lake's packages are not installed: {INSTALL}") from None
    db.execute(f"SET extension_directory = {quoted(str(Settings().state_folder / 'duckdb'))}")
    db.execute("SET autoinstall_known_extensions = false")
    for extension in _EXTENSIONS:
        import_extension(extension, con=db)
        db.execute(f"LOAD {extension}")
    db.execute("SET http_retries = 8; SET http_retry_wait_ms = 200; SET http_retry_backoff = 2")  # a minute without S3


def _url() -> str:
    url = os.environ.get(VARIABLE, "")
    with suppress(ValueError):
        if urlsplit(url).scheme in ("postgres", "postgresql") and not re.search(r"\s|%(?![0-9A-Fa-f]{2})", url):
            return url
    example = "postgresql://USER:<PASSWORD>@HOST/DATABASE, %25 for a % in the password"
    raise WarehouseMismatch(f"profile lake: {VARIABLE} is {'no URL of PostgreSQL' if url else 'not set'}; write {example}")


def _catalog_secret(url: str) -> tuple[str, str]:
    """A URL as DuckDB's secret, and its options such as `sslmode` as libpq writes them."""
    parts = urlsplit(url)
    given = {
        "HOST": parts.hostname,
        "PORT": parts.port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "DATABASE": unquote(parts.path.lstrip("/")),
    }
    secret = ", ".join(f"{key} {quoted(str(value))}" for key, value in given.items() if value)
    return secret, " ".join(f"{key}={value}" for key, value in parse_qsl(parts.query))


def _s3_secret() -> str:
    """Key and endpoint as boto finds them: `AWS_…` variables, profiles, the role of the machine."""
    import botocore.session

    session = botocore.session.get_session()
    client = session.create_client("s3", region_name=session.get_config_variable("region") or "us-east-1")
    endpoint, keys = urlsplit(client.meta.endpoint_url), session.get_credentials()
    given: dict[str, Any] = {"REGION": client.meta.region_name}
    if keys:
        frozen = keys.get_frozen_credentials()
        given |= {"KEY_ID": frozen.access_key, "SECRET": frozen.secret_key, "SESSION_TOKEN": frozen.token}
    if not (endpoint.hostname or "").endswith(".amazonaws.com"):
        given |= {"ENDPOINT": endpoint.netloc, "URL_STYLE": "path", "USE_SSL": str(endpoint.scheme == "https").lower()}
    return f"CREATE OR REPLACE SECRET lake_data (TYPE s3, {', '.join(f'{k} {quoted(v)}' for k, v in given.items() if v)})"


def _redacted(text: str) -> str:
    """A message in one line, without the URL and its password."""
    url = os.environ.get(VARIABLE, "")
    password = urlsplit(url).password or ""
    for secret in {url, password, unquote(password)} - {""}:
        text = text.replace(secret, "[removed]")
    return " ".join(text.split())
