"""Run the models on Spark: compile them, export what they read, and make each after those that it reads.

The dbt project is compiled for DuckDB, a full refresh, with the sources that have rows. A database in memory without rows names
and types the columns of each model, as DuckDB has them, so that Spark's numbers, times and columns are those of the warehouse.
What is a view in the warehouse is one here; tables, incremental models and marts become Parquet. A model that fails leaves out
those that read it, and nothing else; `Report` has all of them. Several models are made side by side. Alone: `perps spark --help`.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.schema import MappingSchema

from assets.spark.translate import FUNCTIONS, translated, view_name
from pipelines import ducklake, warehouse
from pipelines.meta_tables import quoted

# What pandera imports where PySpark is installed; no model is a frame of pandas.
warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)

INSTALL = "pip install 'perplake[spark]', and a Java runtime from 17 on (Debian: apt install openjdk-17-jre-headless)"
#: What makes Spark's values those of DuckDB's sessions; errors where DuckDB has errors.
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    # Spark weighs a table as it is packed in Parquet. Of a year of 500 instruments, tables below its own limit of 10 MB, sent to
    # all workers by several models at a time, did not fit unpacked into the driver's usual gigabyte.
    "spark.sql.autoBroadcastJoinThreshold": "2m",
    # In Spark 4.3.0 it breaks plans of long unions, which Spark then refuses.
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.RemoveRedundantAliases",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.structuredLogging.enabled": "false",
}
#: Models that are made at a time: planning one leaves a cluster idle, and many have few rows.
SIDE_BY_SIDE = 4
#: DuckDB's types as Spark's. A count is HUGEINT in DuckDB where it is a sum.
_TYPES = {
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "double",
    "HUGEINT": "bigint",
    "INTEGER": "int",
    "TIMESTAMP": "timestamp_ntz",
    "UBIGINT": "bigint",
    "VARCHAR": "string",
}


class MissingSpark(ValueError):
    """Spark or Java is not installed."""


@dataclass(frozen=True)
class Model:
    """A model of the dbt project, compiled."""

    schema: str
    name: str
    sql: str
    materialized: str
    #: The column by whose months the rows are laid out in folders.
    time: str | None
    #: The columns in their order, where a contract states them.
    contract: tuple[str, ...]

    @property
    def view(self) -> str:
        return view_name(self.schema, self.name)

    @cached_property
    def reads(self) -> set[tuple[str, str]]:
        """The tables and views that it reads, as schema and name."""
        tables = sqlglot.parse_one(self.sql, dialect="duckdb").find_all(exp.Table)
        return {(table.db, table.name) for table in tables if table.db}


@dataclass
class Report:
    """What was made: rows by `schema.model`; seconds; and by model why one was left out."""

    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def compiled(database: Path) -> list[Model]:
    """The models that a run makes of a warehouse, compiled for the sources that have rows. The caller has the writer's lock."""
    from assets.defs.dbt import invoke, without_rows

    with warehouse.connect(database, read_only=True) as connection:
        sources = warehouse.loaded_sources(connection)
    left_out = [f"{prefix}*" for prefix in without_rows(sources)]
    arguments = ["compile", "--full-refresh", "--no-write-json", *(["--exclude", *left_out] if left_out else [])]
    result = invoke(arguments, database, {"loaded": sources}).result
    nodes = {r.node.unique_id: r.node for r in result.results if r.node.resource_type == "model"}
    order = TopologicalSorter({name: set(node.depends_on.nodes) & nodes.keys() for name, node in nodes.items()})
    return [_model(nodes[name], nodes) for name in order.static_order()]


def _model(node: Any, nodes: Mapping[str, Any]) -> Model:
    time_of = node.config.meta.get("time")
    if not time_of and len(node.depends_on.nodes) == 1 and node.depends_on.nodes[0] in nodes:  # a mart that is a view of it
        time_of = nodes[node.depends_on.nodes[0]].config.meta.get("time")
    contract = tuple(node.columns) if node.config.contract.enforced else ()
    return Model(node.schema, node.name, node.compiled_code, node.config.materialized, time_of, contract)


def _inputs(models: list[Model]) -> list[tuple[str, str]]:
    """The tables that models read and don't make, as schema and name."""
    return sorted({table for model in models for table in model.reads} - {(model.schema, model.name) for model in models})


def export(database: Path, models: list[Model], folder: Path) -> None:
    """Write what the models read and don't make as Parquet: `<folder>/<schema>/<table>/`, files of at most about 256 MB."""
    with warehouse.connect(database, read_only=True) as connection:
        for schema, table in _inputs(models):
            target = folder / schema / table
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            connection.execute(
                f'COPY (FROM {ducklake.NAME}."{schema}"."{table}") TO {quoted(str(target))}'
                " (FORMAT parquet, COMPRESSION zstd, FILE_SIZE_BYTES '256MB', OVERWRITE_OR_IGNORE)"
            )


def rebuild(
    models: list[Model],
    folder: Path,
    master: str,
    *,
    settings: Mapping[str, str] | None = None,
    keep_all: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Make all models on a cluster from what `export` wrote; raises `MissingSpark`.

    Every machine of the cluster reads and writes `folder` by the same path. `keep_all` writes views as Parquet, too.
    """
    folder, report = folder.resolve(), Report()
    shapes, columns = _shapes(models, folder)
    named = {(model.schema, model.name): model for model in models}
    order = TopologicalSorter({table: model.reads & named.keys() for table, model in named.items()})
    order.prepare()
    with _session(master, settings or {}) as spark, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

        def make(model: Model) -> tuple[int | None, float]:
            """A model's view, and its files where it has some; rows and seconds."""
            began, rows = time.perf_counter(), None
            *parts, (_, query) = translated(model.sql, shapes, model.view).items()
            for view, part in parts:
                frame = spark.sql(part)
                frame.write.mode("overwrite").parquet(f"{folder / 'parts' / view}")
                spark.read.schema(frame.schema).parquet(f"{folder / 'parts' / view}").createOrReplaceTempView(view)
            frame = spark.sql(query)
            frame = frame.selectExpr(*(f"cast(`{c}` as {_spark_type(t)}) as `{c}`" for c, t in columns[model.view].items()))
            if keep_all or model.schema == "marts" or model.materialized in ("table", "incremental"):
                target = folder / model.schema / model.name
                _write(frame, target, model.time)
                frame, rows = _read(spark, target, columns[model.view]), _rows(target)
            frame.createOrReplaceTempView(model.view)
            return rows, time.perf_counter() - began

        for schema, table in _inputs(models):
            view = view_name(schema, table)
            _read(spark, folder / schema / table, columns[view]).createOrReplaceTempView(view)
        running: dict[Future[tuple[int | None, float]], Model] = {}
        while order.is_active():
            for ready in order.get_ready():
                model = named[ready]
                if missing := sorted({f"{s}.{t}" for s, t in model.reads} & report.left_out.keys()):
                    report.left_out[f"{model.schema}.{model.name}"] = f"reads {missing[0]}"
                    order.done(ready)
                else:
                    running[pool.submit(make, model)] = model
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                model = running.pop(done)
                name = f"{model.schema}.{model.name}"
                try:
                    rows, report.seconds[name] = done.result()
                except _errors() as problem:
                    report.left_out[name] = " ".join(str(problem).partition("\n\n")[0].split())[:300]
                else:
                    if rows is not None:
                        report.rows[name] = rows
                        progress(f"{name}: {rows:,} rows, {report.seconds[name]:.1f} s")
                order.done((model.schema, model.name))
    shutil.rmtree(folder / "parts", ignore_errors=True)
    _index(models, report, folder)
    return report


def _shapes(models: list[Model], folder: Path) -> tuple[MappingSchema, dict[str, dict[str, str]]]:
    """Names and types of all columns, as DuckDB has them, for sqlglot; and by view, a model's in the order of the warehouse."""
    shape: dict[str, Any] = {ducklake.NAME: {}}
    columns: dict[str, dict[str, str]] = {}
    with duckdb.connect() as empty:
        empty.execute(f"ATTACH ':memory:' AS {ducklake.NAME}; USE {ducklake.NAME}")

        def describe(schema: str, name: str) -> dict[str, str]:
            found = {row[0]: row[1] for row in empty.execute(f'DESCRIBE {ducklake.NAME}."{schema}"."{name}"').fetchall()}
            shape[ducklake.NAME].setdefault(schema, {})[name] = found
            return found

        for schema, table in _inputs(models):
            empty.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            files = quoted(str(folder / schema / table / "*.parquet"))
            empty.execute(f'CREATE TABLE "{schema}"."{table}" AS FROM read_parquet({files}) LIMIT 0')
            columns[view_name(schema, table)] = describe(schema, table)
        for model in models:
            empty.execute(f"CREATE SCHEMA IF NOT EXISTS {model.schema}")
            empty.execute(f'CREATE TABLE "{model.schema}"."{model.name}" AS FROM ({model.sql}\n) LIMIT 0')
            found = describe(model.schema, model.name)
            columns[model.view] = {name: found[name] for name in model.contract or found}
    return MappingSchema(shape, dialect="duckdb"), columns


def _spark_type(duckdb_type: str) -> str:
    if duckdb_type.endswith("[]"):
        return f"array<{_spark_type(duckdb_type[:-2])}>"
    return _TYPES.get(duckdb_type, duckdb_type)


def _read(spark: Any, folder: Path, columns: Mapping[str, str]) -> Any:
    """A frame of Parquet files, whose columns are known: Spark need not look into them first."""
    schema = ", ".join(f"`{name}` {_spark_type(kind)}" for name, kind in columns.items())
    return spark.read.schema(schema).parquet(str(folder))


def _write(frame: Any, target: Path, time_of: str | None) -> None:
    """Write a frame as Parquet, in a folder for each month where it has a time."""
    if time_of in frame.columns:
        months = frame.selectExpr("*", f"date_format(`{time_of}`, 'yyyy-MM') as _month")
        months.write.mode("overwrite").partitionBy("_month").parquet(str(target))
    if time_of not in frame.columns:
        frame.write.mode("overwrite").parquet(str(target))
    elif not any(target.rglob("*.parquet")):  # without rows there is no month
        frame.limit(0).write.mode("overwrite").parquet(str(target))


def _rows(target: Path) -> int:
    """The rows of Parquet files, as these say."""
    files = quoted(str(target / "**" / "*.parquet"))
    with duckdb.connect() as connection:
        return int(connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata({files})").fetchall()[0][0])


def _index(models: list[Model], report: Report, folder: Path) -> None:
    """`perplake.duckdb`: the marts as views of the Parquet files, which any DuckDB opens."""
    path = folder / "perplake.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA marts")
        for model in models:
            if model.schema == "marts" and f"marts.{model.name}" in report.rows:
                files = quoted(str(folder / "marts" / model.name / "**" / "*.parquet"))
                connection.execute(f'CREATE VIEW marts."{model.name}" AS FROM read_parquet({files}, hive_partitioning = false)')


def _errors() -> tuple[type[Exception], ...]:
    """What a model's translation and Spark raise; PySpark is imported only where it is used."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return SqlglotError, PySparkException, Py4JError


def spark_home() -> Path:
    """The folder of Spark's own programs, in the package. Raises `MissingSpark`."""
    found = importlib.util.find_spec("pyspark")
    if not found or not found.origin:
        raise MissingSpark(f"Spark is not installed: {INSTALL}")
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        raise MissingSpark(f"Java is not installed: {INSTALL}")
    return Path(found.origin).parent


@contextmanager
def _session(master: str, settings: Mapping[str, str]) -> Iterator[Any]:
    """A session on a cluster, with the functions that DuckDB has and Spark lacks."""
    os.environ["SPARK_HOME"] = str(spark_home())
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)  # errors are in the report
    builder = SparkSession.builder.master(master).appName("perplake")
    for name, value in {**_SETTINGS, **settings}.items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except PySparkRuntimeError as problem:
        raise MissingSpark(f"Spark did not start ({problem}): {INSTALL}") from None
    try:
        spark.sparkContext.setLogLevel("OFF")
        for function in FUNCTIONS:
            spark.sql(function)
        yield spark
    finally:
        spark.stop()
