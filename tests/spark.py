"""All models on a Spark cluster of this machine, compared with those of a DuckDB warehouse.

rows = equal_on_spark(warehouse, folder)    # a standalone master, two workers; skips the test where Spark is missing
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from assets.spark.rebuild import MissingSpark, compiled, export, rebuild, spark_home
from infra.spark import cluster

#: What two sums may differ by, of the larger.
NEAR = 1e-9
#: Of hundreds of plans over few rows most time is compiling: Spark's of plans to classes, Java's of classes to machine code. As
#: few rows need no plan that is changed on the way.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
SMALL_DATA = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": _JAVA,
    "spark.executor.extraJavaOptions": _JAVA,
    "spark.ui.enabled": "false",
}
#: What Python makes of the marts, in the same schema.
_NO_MODELS = ("regime_", "market_last_day")


def has_spark() -> None:
    """Skip the test where Spark or Java is missing."""
    try:
        spark_home()
    except MissingSpark as problem:
        pytest.skip(str(problem))


def equal_on_spark(warehouse: Path, folder: Path) -> dict[str, int]:
    """Make all models of a warehouse on Spark, views too, and compare each with the warehouse's; their rows by `schema.model`.

    The warehouse stays as it is.
    """
    has_spark()
    folder.mkdir()
    copy = Path(shutil.copyfile(warehouse, folder / "warehouse.duckdb"))
    models = compiled(copy)
    export(copy, models, folder)
    with cluster(workers=2) as master:
        report = rebuild(models, folder, master, settings=SMALL_DATA, keep_all=True)
    assert report.left_out == {}
    found = differences(warehouse, folder)
    assert {name: problem for name, problem in found.items() if problem} == {}
    assert report.rows.keys() == found.keys()
    return report.rows


def differences(warehouse: Path, folder: Path) -> dict[str, str]:
    """By table or view of a warehouse that is a model's, in what the rows differ that Spark made; nothing where they are equal.

    Hashes are each engine's own: they tell versions of one table apart.
    """
    found = {}
    with duckdb.connect(str(warehouse), read_only=True) as db:
        db.execute("set TimeZone = 'UTC'")
        tables = db.execute(
            "select schema_name, table_name, list(column_name order by column_index), list(data_type order by column_index)"
            " from duckdb_columns() where database_name = current_database()"
            " and schema_name in ('staging', 'intermediate', 'marts') and column_name <> '_versions'"
            " and not ends_with(column_name, '_hash') group by all order by all"
        ).fetchall()
        for schema, table, columns, types in tables:
            name, files = f"{schema}.{table}", folder / schema / table
            if table.startswith(_NO_MODELS):
                continue
            if not any(files.rglob("*.parquet")):
                found[name] = "not made"
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
            wrong = {column: n for column, n in zip(columns, counts[2:], strict=True) if n}
            found[name] = f"{counts[0]} and {counts[1]} rows, {wrong}" if counts[0] != counts[1] or wrong else ""
    return found
