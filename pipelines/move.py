"""Copy a warehouse from a file to a lake, or from a lake to a file, and compare both table by table.

    warehouse.duckdb ◄──► tables, comments, views ◄──► the lake's market, in one commit

Raw rows, the bookkeeping of runs, facts, marts and what regimes keep are all copied, so that the next run goes on where the last
one stopped. Nothing of the source is changed. Alone: `perps move lake`, `perps move file`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from pipelines import ducklake, warehouse
from pipelines.errors import WarehouseMismatch
from pipelines.meta_tables import META_TABLES, create_meta_tables, quoted

#: The schemas whose views are copied, too, but for old names, which publishing makes.
_VIEWS = ("staging", "intermediate", "marts")
_OLD_NAMES = "marts_0_1"
_REFERENCE = re.compile(r'warehouse\."?(\w+)"?\."?(\w+)"?')


@dataclass(frozen=True)
class Copied:
    """A table that was copied: its rows, and a checksum over all of them, whatever their order; equal on both sides."""

    schema: str
    name: str
    rows: int
    checksum: int


@dataclass(frozen=True)
class _Relation:
    """A table, or a view with its query: the columns with types, null or not, defaults, and all comments."""

    schema: str
    name: str
    comment: str | None
    query: str | None
    columns: list[tuple[Any, ...]]

    @property
    def path(self) -> str:
        return f'warehouse."{self.schema}"."{self.name}"'


def copy_warehouse(source: Path, target: Path) -> list[Copied]:
    """Copy all of a warehouse; a new file appears in one step, a lake has all of it in one commit.

    Raises `WarehouseMismatch` where there is nothing to copy, where the target has something already, and where a table's
    checksum is another one after it.
    """
    if not source.exists() and not ducklake.is_lake(source):
        raise WarehouseMismatch(f"{source} is not there: `perps run` makes one")
    with warehouse.one_writer(source), warehouse.one_writer(target):
        relations = _relations(source)
        draft = target if ducklake.is_lake(target) else target.with_name(f"{target.name}.part")
        if target.exists() and draft != target:
            raise WarehouseMismatch(f"{target} is there already: move it away first")
        target.parent.mkdir(parents=True, exist_ok=True)
        if draft == target:
            ducklake.require_empty(target)
        else:
            draft.unlink(missing_ok=True)
        with _both(source, draft) as db, warehouse.transaction(db):
            copied = _copy(db, relations, to_lake=draft == target)
        if draft == target:
            target.touch()
        else:
            draft.replace(target)
    return copied


@contextmanager
def _both(source: Path, target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session in the target, called `warehouse` as views have it, with the source as `moved`."""
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as db, ducklake.explained():
        db.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{warehouse.memory_limit()}'; SET preserve_insertion_order = false")
        for path, name, read_only in ((source, "moved", True), (target, "warehouse", False)):
            if ducklake.is_lake(path):
                ducklake.attach(db, path, name=name, read_only=read_only)
            else:
                db.execute(f"ATTACH {quoted(str(path))} AS {name} {'(READ_ONLY)' if read_only else ''}")
        db.execute("USE warehouse")
        yield db


def _relations(source: Path) -> list[_Relation]:
    """All tables of a warehouse, then its views in the order in which they can be made."""
    with warehouse.connect(source, read_only=True) as db:
        here = "WHERE database_name = current_database() AND NOT internal"
        found = db.execute(
            f"""
            SELECT schema_name, table_name, comment, NULL FROM duckdb_tables() {here} AND NOT temporary
            UNION ALL
            SELECT schema_name, view_name, comment, sql FROM duckdb_views() {here}
                AND schema_name IN {_VIEWS} AND NOT contains(sql, '{_OLD_NAMES}')
            ORDER BY ALL
            """
        ).fetchall()
        by_relation: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        columns = "schema_name, table_name, column_name, data_type, is_nullable, column_default, comment"
        for schema, table, *column in db.execute(
            f"SELECT {columns} FROM duckdb_columns() {here} ORDER BY schema_name, table_name, column_index"
        ).fetchall():
            by_relation.setdefault((schema, table), []).append(tuple(column))
        of_views = dict(db.execute('SELECT (view, "column"), description FROM meta.view_columns').fetchall())
    relations = {}
    for schema, name, comment, sql in found:
        own = by_relation[schema, name]
        if sql and schema == "marts":  # a lake keeps the comments on their columns in a table
            own = [(*parts, of_views.get((name, parts[0]), said)) for *parts, said in own]
        query = sql.partition(" AS ")[2].rstrip().rstrip(";") if sql else None
        relations[schema, name] = _Relation(schema, name, comment, query, own)
    reads = {key: [r for r in _REFERENCE.findall(each.query or "") if r in relations] for key, each in relations.items()}
    return [relations[key] for key in TopologicalSorter(reads).static_order()]


def _copy(db: duckdb.DuckDBPyConnection, relations: list[_Relation], to_lake: bool) -> list[Copied]:
    db.execute(create_meta_tables(to_lake))
    copied = []
    for each in relations:
        db.execute(f'CREATE SCHEMA IF NOT EXISTS "{each.schema}"')
        if each.query:
            db.execute(f"CREATE VIEW {each.path} AS {each.query}")
        elif each.schema != "meta" or each.name not in META_TABLES:
            fields = [f'"{name}" {kind}{_constraint(nullable, default)}' for name, kind, nullable, default, _ in each.columns]
            db.execute(f"CREATE TABLE {each.path} ({', '.join(fields)})")
        _comment(db, each, to_lake)
        if each.query is None and (each.schema, each.name) != ("meta", "view_columns"):
            copied.append(_copy_rows(db, each))
    return copied


def _constraint(nullable: bool, default: str | None) -> str:
    return ("" if default in (None, "NULL") else f" DEFAULT {default}") + ("" if nullable else " NOT NULL")


def _comment(db: duckdb.DuckDBPyConnection, each: _Relation, to_lake: bool) -> None:
    kind = "VIEW" if each.query else "TABLE"
    if each.comment:
        db.execute(f"COMMENT ON {kind} {each.path} IS {quoted(each.comment)}")
    for column, *_, comment in each.columns:
        if comment and not (to_lake and each.query):
            db.execute(f'COMMENT ON COLUMN {each.path}."{column}" IS {quoted(comment)}')
        elif comment and each.schema == "marts":
            db.execute("INSERT INTO meta.view_columns VALUES (?, ?, ?)", [each.name, column, comment])


def _copy_rows(db: duckdb.DuckDBPyConnection, each: _Relation) -> Copied:
    moved, columns = f'moved."{each.schema}"."{each.name}"', ", ".join(f'"{name}"' for name, *_ in each.columns)
    db.execute(f"INSERT INTO {each.path} BY NAME SELECT {columns} FROM {moved}")
    # a lake has decimals for integers of 128 bits
    values = ", ".join(f'"{n}"{"::HUGEINT" if kind in ("HUGEINT", "DECIMAL(38,0)") else ""}' for n, kind, *_ in each.columns)
    sums = [
        db.execute(f"SELECT count(*), coalesce(sum(hash({values})::HUGEINT), 0) FROM {table}").fetchall()[0]
        for table in (moved, each.path)
    ]
    if sums[0] != sums[1]:
        raise WarehouseMismatch(f"{each.schema}.{each.name} was copied with another checksum: {sums[0]} and {sums[1]}")
    return Copied(each.schema, each.name, *sums[0])
