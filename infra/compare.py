"""Compare the marts of two published copies: `python -m infra.compare OLD.duckdb NEW.duckdb`; `….lake` names one of a lake.

For each mart of the old copy: rows, and a checksum over its columns that does not depend on the order of rows. The new copy is
read under the old names (schema `marts_0_1`) where it has renamed a table or its columns. `plan_hash`, a hash of code, is left
out. Numbers are equal to the last bit, or to 12 digits where a sum was made in another order. Exit status 1 when a mart differs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from pipelines import ducklake
from pipelines.meta_tables import quoted

IGNORED = {"plan_hash"}


def columns(db: duckdb.DuckDBPyConnection, copy: str, schema: str) -> dict[str, list[str]]:
    """The columns of each table and view of a schema."""
    found: dict[str, list[str]] = {}
    sql = (
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? "
        "ORDER BY table_name, column_index"
    )
    for table, column in db.execute(sql, [copy, schema]).fetchall():
        found.setdefault(table, []).append(column)
    return found


def checksum(db: duckdb.DuckDBPyConnection, relation: str, names: list[str], digits: bool = False) -> tuple[int, int]:
    """Rows, and the sum of their hashes; `digits`: of numbers at 12 significant digits."""
    kinds = {name: kind for name, kind, *_ in db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()} if digits else {}
    selected = ", ".join(f"printf('%.12g', \"{name}\")" if kinds.get(name) == "DOUBLE" else f'"{name}"' for name in names)
    row = db.execute(f"SELECT count(*), coalesce(sum(hash({selected})::HUGEINT), 0) FROM {relation}").fetchone()
    assert row
    return row[0], row[1]


def compare(db: duckdb.DuckDBPyConnection, table: str, names: list[str]) -> str:
    """How one mart of the old copy compares with the new one: `equal`, or the difference."""
    found = {schema: columns(db, "new", schema).get(table) for schema in ("marts_0_1", "marts")}
    lost = {schema: [name for name in names if name not in new] for schema, new in found.items() if new is not None}
    if not lost:
        return "missing"
    schema = min(lost, key=lambda each: len(lost[each]))
    if lost[schema]:
        return f"without {', '.join(lost[schema])}"
    before, after = checksum(db, f'old.marts."{table}"', names), checksum(db, f'new.{schema}."{table}"', names)
    if before == after:
        return "equal"
    if checksum(db, f'old.marts."{table}"', names, True) == checksum(db, f'new.{schema}."{table}"', names, True):
        return "equal to 12 digits"
    differing = [n for n in names if checksum(db, f'old.marts."{table}"', [n]) != checksum(db, f'new.{schema}."{table}"', [n])]
    rows = f"{before[0]:,} and {after[0]:,} rows" if before[0] != after[0] else "equal rows"
    return f"different: {rows}, in {', '.join(differing) or 'the combination of columns'}"


def differences(old: Path, new: Path) -> dict[str, tuple[int, str]]:
    """By mart of the old copy: its rows, and how it compares with the new one."""
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as db:
        db.execute("SET TimeZone = 'UTC'")
        for name, path in {"old": old, "new": new}.items():
            if ducklake.is_lake(path):
                ducklake.attach(db, path, name=name)
            else:
                db.execute(f"ATTACH {quoted(str(path))} AS {name} (READ_ONLY)")
        results = {}
        for table, names in columns(db, "old", "marts").items():
            kept = [name for name in names if name not in IGNORED]
            results[table] = checksum(db, f'old.marts."{table}"', kept)[0], compare(db, table, kept)
        return results


def main(
    old: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    new: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
) -> None:
    """Compare the marts of two published copies."""
    found = differences(old, new)
    for table, (rows, result) in found.items():
        typer.echo(f"{table:<24} {rows:>9,} rows  {result}")
    equal = sum(result.startswith("equal") for _, result in found.values())
    typer.echo(f"{equal} of {len(found)} marts are equal")
    sys.exit(0 if equal == len(found) else 1)


if __name__ == "__main__":
    typer.run(main)
