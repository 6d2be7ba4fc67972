"""The published files of the marts, brought up to date by the days that changed: one DuckDB file, and Parquet files by month.

    marts ──► meta.partitions: rows and checksum by day ──► perplake.duckdb ──► parquet/<mart>.parquet/<month>-<checksum>.parquet

Checksums tell what changed. They are made of all rows of a mart, unless it is a view of one incremental model: then of the
windows that dbt has replaced since (`meta.replaced`, written in the transaction that replaces them), and, where the mart has
another number of rows besides than is noted, of days whose number is another one. A published file states the checksums of its
own rows; a day is written where the two differ.

Two DuckDB files take turns: readers have one, and the next publication changes the other and puts it in the first one's place,
because a copy of the file would cost what its history does. The other file is used only if nothing has written to it since and no
reader has it open; otherwise a copy of the first one, and a new file where that can't be used either. Month files of Parquet that
did not change are hard links to those of the snapshot before. A lake is published by one commit, whose message says so.
"""

import base64
import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from assets.defs.renamed import RENAMED, OldNames
from assets.runtime.outcomes import ranges
from pipelines import ducklake, warehouse
from pipelines.errors import WarehouseMismatch
from pipelines.meta_tables import create_meta_table, quoted
from pipelines.registry import datasets
from pipelines.settings import LAKE
from pipelines.units import Columns, described, stated

#: Rows that are written in one statement, which bounds memory.
BATCH_ROWS = 2_000_000

#: Days of a mart with a row count; None is the day of rows without a time, and of all rows of a mart without a time column.
Days = Mapping[date | None, int]


@dataclass(frozen=True)
class Mart:
    """A mart as it is in a catalog: its columns with their types, the column that tells a row's day, and the incremental model
    that it is a view of, if it is one."""

    name: str
    columns: tuple[tuple[str, str], ...]
    model: str | None = None

    @property
    def time(self) -> str | None:
        """The column that tells a row's day: a fact's time, else `day`, `hour`, or a period's start; None where there is none."""
        times = [dataset.time for dataset in datasets().values() if dataset.fact == self.name and self.name.startswith("fct_")]
        dated = {name for name, kind in self.columns if kind in ("DATE", "TIMESTAMP")}
        return next((name for name in (*times, "day", "hour", "week", "month") if name in dated), None)

    @property
    def day(self) -> str:
        """A row's day as SQL."""
        return f'"{self.time}"::DATE' if self.time else "NULL::DATE"

    @property
    def layout(self) -> str:
        """What a checksum depends on beside the rows: columns, types, and DuckDB's hash function."""
        return hashlib.sha256(f"{self.name} {self.columns} {duckdb.__version__}".encode()).hexdigest()[:12]

    def of_days(self, days: Collection[date | None]) -> str:
        """SQL that is true for rows of these days: ranges, so that DuckDB leaves out the blocks outside of them."""
        if self.time is None:
            return "true" if days else "false"
        parts = [
            f"\"{self.time}\" >= DATE '{first}' AND \"{self.time}\" < DATE '{last}' + 1"
            for first, last in ranges(day for day in days if day)
        ]
        return " OR ".join(parts + [f'"{self.time}" IS NULL'] * (None in days)) or "false"


#: `meta.partitions`, which tells a day as marts do.
_PARTITIONS = Mart("partitions", (("day", "DATE"),))


def copy_marts(database: Path, out: Path, models: Mapping[str, str | None], run: str = "") -> Path:
    """Bring `out/perplake.duckdb` up to date with the schemas `marts` and `meta` of a warehouse and their comments, in one step.

    `models` are the marts to publish, each with the incremental model that it is a view of, `run` is the run that publishes. The
    caller has the writer's lock. Raises `WarehouseMismatch` for a warehouse without marts: the published copy of before stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    if ducklake.is_lake(database):
        return _publish_snapshot(database, out, models, run)
    target, draft = out / "perplake.duckdb", out / "perplake.duckdb.part"
    previous, noted = out / "perplake.duckdb.previous", out / ".snapshots.json"
    intact = _intact(noted)
    _begin(draft, previous, target, intact)
    catalog = database.stem  # the name that views in the warehouse have for it
    with duckdb.connect(config={"temp_directory": f"{draft}.tmp"}) as connection:
        connection.execute(f"SET memory_limit = '{warehouse.memory_limit()}'")
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        connection.execute(f'ATTACH {quoted(str(database.resolve()))} AS "{catalog}"; USE "{catalog}"')
        marts = _marts(connection, database, models)
        _note_partitions(connection, marts)
        connection.execute(f'ATTACH {quoted(str(draft.resolve()))} AS "{catalog}_copy"; USE "{catalog}_copy"')
        connection.execute("BEGIN")
        _update(connection, catalog, marts)
        _add_old_names(connection)
        connection.execute(create_meta_table("published"))
        _note_published(connection, run)
        connection.execute("COMMIT; CHECKPOINT")
        connection.execute(f'USE memory; DETACH "{catalog}_copy"; DETACH "{catalog}"')
    draft.chmod(0o444)
    states = [_state(draft), *([_state(target)] if _is_intact(target, intact) else [])]
    noted.write_text(json.dumps(states))
    previous.unlink(missing_ok=True)
    if target.exists():
        with suppress(OSError):  # a file system without hard links: the next time begins with a copy
            os.link(target, previous)
    draft.replace(target)
    return target


def _publish_snapshot(database: Path, out: Path, models: Mapping[str, str | None], run: str) -> Path:
    """Publish what a lake holds now, in one commit. Readers attach its snapshot; nothing is copied."""
    target = out / f"perplake{LAKE}"
    with warehouse.connect(database) as connection:
        marts = _marts(connection, database, models)
        _note_partitions(connection, marts)
        with warehouse.transaction(connection):
            _add_old_names(connection)
            _note_published(connection, run)
            ducklake.note_published(connection, run)
    target.touch()
    return target


def _marts(connection: duckdb.DuckDBPyConnection, database: Path, models: Mapping[str, str | None]) -> list[Mart]:
    """The marts to publish that are there. Raises `WarehouseMismatch` where there are none."""
    if not (relations := columns_of(connection, database.stem, "marts")):
        raise WarehouseMismatch(f"{database} has no marts to publish: {warehouse.NOT_MADE_YET}")
    return [Mart(name, relations[name], model) for name, model in models.items() if name in relations]


def _note_published(connection: duckdb.DuckDBPyConnection, run: str) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute("DELETE FROM meta.published")
    connection.execute("INSERT INTO meta.published VALUES (?, ?)", [now, run])


def _state(path: Path) -> list[int]:
    """What changes when a file is written to: inode, size, time of the last change."""
    stat = path.stat()
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns]


def _intact(noted: Path) -> list[list[int]]:
    """The states in which the published files were left."""
    try:
        return list(json.loads(noted.read_text()))
    except (OSError, ValueError):
        return []


def _is_intact(path: Path, states: list[list[int]]) -> bool:
    return path.exists() and _state(path) in states


def _begin(draft: Path, previous: Path, target: Path, intact: list[list[int]]) -> None:
    """Make the draft the file of the snapshot before, else a copy of the published one; no file where neither can be used."""
    for source in (previous, target):
        _remove(draft)
        if not _is_intact(source, intact):
            continue
        if source is previous and target.exists() and source.samefile(target):
            continue  # a kill before the last step of a publication: readers have this file
        if source is previous:
            source.rename(draft)
        else:
            _clone(source, draft)
        draft.chmod(0o644)
        with suppress(duckdb.Error):  # a reader has it open, or another version of DuckDB wrote it
            duckdb.connect(str(draft)).close()
            return
    _remove(draft)


def _remove(draft: Path) -> None:
    for path in (draft, Path(f"{draft}.wal")):
        path.unlink(missing_ok=True)


def _clone(source: Path, copy: Path) -> None:
    """Copy a file in the kernel; a file system that can share blocks copies none."""
    with source.open("rb") as read, copy.open("wb") as written:
        try:
            while os.copy_file_range(read.fileno(), written.fileno(), 1 << 30):
                pass
        except OSError:  # not between these file systems
            shutil.copyfileobj(read, written)


def columns_of(connection: duckdb.DuckDBPyConnection, catalog: str, schema: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """The columns of the tables and views of a schema, in order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? "
        "ORDER BY table_name, column_index",
        [catalog, schema],
    ).fetchall():
        found.setdefault(table, []).append((column, kind))
    return {table: tuple(columns) for table, columns in found.items()}


def _note_partitions(connection: duckdb.DuckDBPyConnection, marts: Iterable[Mart]) -> None:
    """Bring `meta.partitions` of the warehouse in use up to date, and forget the windows that ended builds have replaced."""
    if not ducklake.is_attached(connection):  # of a lake `warehouse.prepare` has made them
        connection.execute("CREATE SCHEMA IF NOT EXISTS meta")
        connection.execute(f"{create_meta_table('replaced')}; {create_meta_table('partitions')}")
    with warehouse.transaction(connection):
        names = [mart.name for mart in marts]
        connection.execute("DELETE FROM meta.partitions WHERE NOT list_contains(?, mart)", [names])
        for mart in marts:
            days = _to_sum_up(connection, mart)
            which = "true" if days is None else mart.of_days(days)
            noted = "true" if days is None else _PARTITIONS.of_days(days)
            connection.execute(f"DELETE FROM meta.partitions WHERE mart = ? AND ({noted})", [mart.name])
            columns = ", ".join(f'"{column}"' for column, _ in mart.columns)
            connection.execute(
                f"INSERT INTO meta.partitions SELECT ?, {mart.day}, count(*), sum(hash({columns})::HUGEINT), ? "
                f'FROM marts."{mart.name}" WHERE {which} GROUP BY {mart.day}',
                [mart.name, mart.layout],
            )
        connection.execute("DELETE FROM meta.replaced WHERE invocation IS NULL")


def _to_sum_up(connection: duckdb.DuckDBPyConnection, mart: Mart) -> set[date | None] | None:
    """The days of a mart whose noted checksums may not be those of its rows any more; None: all."""
    if mart.model is None or mart.time is None:
        return None
    layouts = connection.execute("SELECT DISTINCT layout FROM meta.partitions WHERE mart = ?", [mart.name]).fetchall()
    windows = connection.execute("SELECT window_start, window_end FROM meta.replaced WHERE model = ?", [mart.model]).fetchall()
    if layouts != [(mart.layout,)] or (None, None) in windows:
        return None
    days: set[date | None] = set()
    for start, end in windows:
        days.update(start.date() + timedelta(days=n) for n in range((end - start).days + 2))
    of_other_days = f"""
        SELECT (SELECT count(*) FROM marts."{mart.name}") - (SELECT count(*) FROM marts."{mart.name}" WHERE {mart.of_days(days)}),
            (SELECT coalesce(sum(rows), 0) FROM meta.partitions
            WHERE mart = ? AND NOT coalesce({_PARTITIONS.of_days(days)}, false))"""
    found, noted = connection.execute(of_other_days, [mart.name]).fetchall()[0]
    if found == noted:
        return days
    counts = f"""
        SELECT coalesce(found.day, noted.day)
        FROM (SELECT {mart.day} AS day, count(*) AS rows FROM marts."{mart.name}" GROUP BY 1) AS found
        FULL JOIN (FROM meta.partitions WHERE mart = ?) AS noted ON found.day IS NOT DISTINCT FROM noted.day
        WHERE found.rows IS DISTINCT FROM noted.rows"""
    return days.union(day for (day,) in connection.execute(counts, [mart.name]).fetchall())


def _update(connection: duckdb.DuckDBPyConnection, catalog: str, marts: Iterable[Mart]) -> None:
    """Make the marts and `meta` of the catalog in use, a copy, equal to those of a warehouse."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS marts; CREATE SCHEMA IF NOT EXISTS meta")
    connection.execute("DROP SCHEMA IF EXISTS marts_0_1 CASCADE")
    copy = f"{catalog}_copy"
    wanted = {mart.name for mart in marts}
    kept = columns_of(connection, copy, "marts")
    for name in _drop(connection, copy, "marts", wanted):
        del kept[name]
    for mart in marts:
        is_new = kept.get(mart.name) != mart.columns
        if is_new:
            connection.execute(f'CREATE OR REPLACE TABLE marts."{mart.name}" AS FROM "{catalog}".marts."{mart.name}" LIMIT 0')
        days = _differing(connection, catalog, mart, is_new)
        for batch in _batches(days):
            which = mart.of_days(batch)
            if not is_new:
                connection.execute(f'DELETE FROM marts."{mart.name}" WHERE {which}')
            connection.execute(f'INSERT INTO marts."{mart.name}" FROM "{catalog}".marts."{mart.name}" WHERE {which}')
    tables = columns_of(connection, catalog, "meta")
    _drop(connection, copy, "meta", tables)
    for name in tables:
        connection.execute(f'CREATE OR REPLACE TABLE meta."{name}" AS FROM "{catalog}".meta."{name}"')
    comments, written = comments_of(connection, catalog), comments_of(connection, copy)
    for (schema, name, column), comment in comments.items():
        if written.get((schema, name, column)) != comment and (name in wanted or schema == "meta"):
            what = f'COLUMN {schema}."{name}"."{column}"' if column else f'TABLE {schema}."{name}"'
            connection.execute(f"COMMENT ON {what} IS {quoted(comment)}")


def _drop(connection: duckdb.DuckDBPyConnection, copy: str, schema: str, wanted: Collection[str]) -> list[str]:
    """Drop the views of a schema, and the tables that are not wanted; their names."""
    relations = connection.execute(
        "SELECT 'TABLE', table_name FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 "
        "UNION ALL SELECT 'VIEW', view_name FROM duckdb_views() WHERE database_name = $1 AND schema_name = $2",
        [copy, schema],
    ).fetchall()
    dropped = [(kind, name) for kind, name in relations if kind == "VIEW" or name not in wanted]
    for kind, name in dropped:
        connection.execute(f'DROP {kind} {schema}."{name}"')
    return [name for _, name in dropped]


def _differing(connection: duckdb.DuckDBPyConnection, catalog: str, mart: Mart, is_new: bool) -> Days:
    """The days of a mart whose rows in the copy in use are not those of the warehouse, with the rows that they are to have."""
    of_copy = f'FROM "{catalog}".meta.partitions WHERE false' if is_new else "FROM meta.partitions WHERE mart = $1"
    found = connection.execute(
        f"""
        SELECT coalesce(w.day, c.day), coalesce(w.rows, 0) FROM (FROM "{catalog}".meta.partitions WHERE mart = $1) AS w
        FULL JOIN ({of_copy}) AS c ON w.day IS NOT DISTINCT FROM c.day
        WHERE (w.rows, w.digest, w.layout) IS DISTINCT FROM (c.rows, c.digest, c.layout)""",
        [mart.name],
    ).fetchall()
    return dict(found)


def _batches(days: Days) -> Iterator[list[date | None]]:
    """The days in order, as many together as have `BATCH_ROWS` rows."""
    batch, rows = list[date | None](), 0
    for day in sorted(days, key=lambda day: day or date.min):
        batch, rows = [*batch, day], rows + days[day]
        if rows >= BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def comments_of(connection: duckdb.DuckDBPyConnection, catalog: str) -> dict[tuple[str, str, str], str]:
    """Comments by schema, table and column; of the table itself, the column is empty."""
    rows = connection.execute(
        "SELECT schema_name, table_name, '', comment FROM duckdb_tables() WHERE database_name = $1 "
        "UNION ALL SELECT schema_name, view_name, '', comment FROM duckdb_views() WHERE database_name = $1 "
        "UNION ALL SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE database_name = $1",
        [catalog],
    ).fetchall()
    return {(schema, name, column): text for schema, name, column, text in rows if text and schema in ("marts", "meta")}


def _add_old_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Views under the names of 0.1: `marts_0_1` for every table that changed, `marts.daily_markets` and `meta.run_info`."""
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = current_database() "
        "AND schema_name IN ('marts', 'meta') ORDER BY column_index"
    ).fetchall():
        columns.setdefault(table, []).append(column)
    connection.execute("CREATE SCHEMA IF NOT EXISTS marts_0_1")
    for table, old in RENAMED.items():
        if table in columns:
            selected = ", ".join(f'{_old_value(old, name)} AS "{old.columns.get(name, name)}"' for name in columns[table])
            view = f'marts_0_1."{old.table or table}"'
            connection.execute(f'CREATE OR REPLACE VIEW {view} AS SELECT {selected} FROM marts."{table}"')
    if "daily_assets" in columns:
        connection.execute("CREATE OR REPLACE VIEW marts.daily_markets AS FROM marts_0_1.daily_markets")
    if "scope" in columns:
        connection.execute('CREATE OR REPLACE VIEW meta.run_info AS SELECT * RENAME ("mode" AS source) FROM meta.scope')


def _old_value(old: OldNames, column: str) -> str:
    """A column as SQL, with its values of today as they were in 0.1."""
    cases = " ".join(f"WHEN {quoted(today)} THEN {quoted(before)}" for today, before in old.values.get(column, {}).items())
    return f'CASE "{column}" {cases} ELSE "{column}" END' if cases else f'"{column}"'


def write_parquet(published: Path, out: Path) -> list[Path]:
    """Bring `out/<mart>.parquet` up to date with the published copy: a folder of months; of a mart without days, a file.

    Each file's metadata has the table's `description` and, as JSON, those of its `columns` and their `units`; Arrow finds them at
    its fields, and pandas in `attrs`.
    `out` is a link, turned to the new folder in one step. The folder before is kept for its readers; older ones are deleted.
    """
    draft, link = out.with_name(f"{out.name}-{time.time_ns()}"), out.with_name(f"{out.name}.part")
    draft.mkdir(parents=True)
    before = out.resolve() if out.is_symlink() else None
    with warehouse.connect(published, read_only=True) as connection:
        (catalog,) = connection.execute("SELECT current_database()").fetchall()[0]
        of_view = {"daily_markets": "daily_assets"}
        comments = comments_of(connection, catalog)
        for name, columns in columns_of(connection, catalog, "marts").items():
            mart = Mart(of_view.get(name, name), columns)
            target = draft / f"{name}.parquet"
            of_columns = {column: described(comments.get(("marts", name, column), ""), kind) for column, kind in columns}
            about = _about(connection, name, comments.get(("marts", name, ""), ""), of_columns)
            if mart.time is None:
                _write(connection, name, "true", about, target)
                continue
            target.mkdir()
            for file, days in _months(connection, mart, about):
                if not (before and _link(before / target.name / file, target / file)):
                    _write(connection, name, mart.of_days(days), about, target / file)
    link.unlink(missing_ok=True)
    link.symlink_to(draft.name)
    if out.exists() and not out.is_symlink():  # the folder of an older version
        shutil.rmtree(out)
    link.replace(out)
    for old in out.parent.glob(f"{out.name}-*"):
        if old not in (draft, before):
            shutil.rmtree(old, ignore_errors=True)
    return sorted(out.glob("*.parquet"))


def _about(connection: duckdb.DuckDBPyConnection, mart: str, description: str, columns: Columns) -> dict[str, str]:
    """The metadata of a mart's files, and the schema that Arrow finds there, whose own metadata pandas reads."""
    about = {
        "description": description,
        "columns": {column: text for column, (text, _) in columns.items()},
        "units": {column: unit for column, (_, unit) in columns.items() if unit},
    }
    texts = {key: text if isinstance(text, str) else json.dumps(text) for key, text in about.items()}
    schema = connection.sql(f'FROM marts."{mart}" LIMIT 0').to_arrow_table().schema
    schema = stated(schema, columns, {**texts, "PANDAS_ATTRS": json.dumps(about)})
    return {**texts, "ARROW:schema": base64.b64encode(schema.serialize()).decode()}


def _write(connection: duckdb.DuckDBPyConnection, mart: str, which: str, about: Mapping[str, str], file: Path) -> None:
    metadata = ", ".join(f"{quoted(key)}: {quoted(text)}" for key, text in about.items())
    to = f"{quoted(str(file.resolve()))} (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{metadata}}})"
    connection.execute(f'COPY (FROM marts."{mart}" WHERE {which}) TO {to}')
    file.chmod(0o444)


def _link(file: Path, new: Path) -> bool:
    """Make `new` a hard link to a file, or a copy; false where there is no such file."""
    if not file.exists():
        return False
    try:
        os.link(file, new)
    except OSError:
        shutil.copy2(file, new)
    return True


def _months(connection: duckdb.DuckDBPyConnection, mart: Mart, about: Mapping[str, str]) -> Iterator[tuple[str, list[Any]]]:
    """The months of a mart, each as the name of its file, with a checksum of its rows and descriptions, and its days. A mart
    without rows has one file, so that its columns can be read."""
    months = connection.execute(
        "SELECT coalesce(strftime(day, '%Y-%m'), 'undated'), string_agg(concat(day, rows, digest, layout), ',' ORDER BY day), "
        "list(day) FROM meta.partitions WHERE mart = ? GROUP BY 1 ORDER BY 1",
        [mart.name],
    ).fetchall()
    for month, sums, days in months or [("empty", "", [])]:
        yield f"{month}-{hashlib.sha256(f'{sums}{mart.layout}{about}'.encode()).hexdigest()[:12]}.parquet", days
