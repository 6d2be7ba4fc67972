"""All models on a Spark cluster of this machine, compared with those of a DuckDB warehouse.

report = on_spark(warehouse, folder)        # a standalone master, two workers; skips the test where Spark is missing
wrong, equal = differences(warehouse, folder)
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from assets.spark.rebuild import MissingSpark, Report, compiled, export, rebuild, spark_home
from infra.spark import cluster

#: What two sums may differ by, of the larger.
NEAR = 1e-9
#: Spark cuts what it shuffles into 200 parts.
SMALL_DATA = {"spark.sql.shuffle.partitions": "2"}


def differences(warehouse: Path, folder: Path) -> tuple[list[str], int]:
    """The tables and views of a warehouse whose rows Spark made otherwise or not at all, and how many are equal.

    Hashes are each engine's own: they tell versions of one table apart.
    """
    found, equal = [], 0
    with duckdb.connect(str(warehouse), read_only=True) as db:
        db.execute("set TimeZone = 'UTC'")
        tables = db.execute(
            "select schema_name, table_name, list(column_name order by column_index), list(data_type order by column_index)"
            " from duckdb_columns() where database_name = current_database()"
            " and schema_name in ('staging', 'intermediate', 'marts') and column_name <> '_versions'"
            " and not ends_with(column_name, '_hash') group by all order by all"
        ).fetchall()
        for schema, table, columns, types in tables:
            if table.startswith(("regime_", "market_last_day")):
                continue  # Python makes these
            files = folder / schema / table
            if not files.exists():
                found.append(f"{schema}.{table}: not made")
                continue
            reals = [c for c, kind in zip(columns, types, strict=True) if kind == "DOUBLE"]
            order = ", ".join(f'"{c}"' for c in [c for c in columns if c not in reals] + reals)
            differ = [
                f'count(*) filter (a."{c}" is distinct from b."{c}"'
                + (f' and not coalesce(abs(a."{c}" - b."{c}") <= {NEAR} * greatest(abs(a."{c}"), abs(b."{c}"), 1e-6), false))'
                   if c in reals else ")")
                for c in columns
            ]  # fmt: skip
            sides = [
                f"select {order}, row_number() over (order by {order}) as n from {relation}"
                for relation in (f'"{schema}"."{table}"', f"read_parquet('{files}/**/*.parquet', hive_partitioning = false)")
            ]
            counts = db.execute(
                f"select count(a.n), count(b.n), {', '.join(differ)} from ({sides[0]}) as a full join ({sides[1]}) as b using (n)"
            ).fetchone()
            assert counts
            wrong = {name: n for name, n in zip(columns, counts[2:], strict=True) if n}
            if counts[0] != counts[1] or wrong:
                found.append(f"{schema}.{table}: {counts[0]} and {counts[1]} rows, {wrong}")
            equal += not wrong and counts[0] > 0
    return found, equal


def on_spark(warehouse: Path, folder: Path) -> Report:
    """Make all models of a warehouse in a folder, views too; the warehouse stays as it is."""
    try:
        spark_home()
    except MissingSpark as problem:
        pytest.skip(str(problem))
    folder.mkdir()
    copy = Path(shutil.copyfile(warehouse, folder / "warehouse.duckdb"))
    models = compiled(copy)
    export(copy, models, folder)
    with cluster(workers=2) as master:
        report = rebuild(models, folder, master, settings=SMALL_DATA, keep_all=True)
    assert len(report.rows) + len(report.left_out) == len(models)
    return report
