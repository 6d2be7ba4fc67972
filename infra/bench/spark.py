"""All models on Spark against DuckDB, over the rows of a history: seconds by engine.

A warehouse like that of `infra.bench.scale` is made for each number of days, with instruments at each of four venues. Each engine
makes all models of it anew: dbt on DuckDB, in the parts in which a run builds a long window, in a process of its own; then a
master and workers of `infra.spark` on the same machine. Export is the way of the raw rows to the cluster, as Parquet.

The table is printed. Alone: `python -m infra.bench.spark --days 3 --days 30`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from assets.defs import dbt
from assets.spark.rebuild import compiled, export, rebuild
from infra.bench.scale import NEXT, fill
from infra.spark import cluster, settings
from pipelines import warehouse

HEADER = ("raw rows", "days", "DuckDB, s", "peak, MB", "export, s", "Spark, s", "Spark / DuckDB", "slowest on Spark")


def on_duckdb(database: Path) -> tuple[float, float]:
    """Make all models in this process: seconds, and the process's peak in MB."""
    begun = time.perf_counter()
    with warehouse.connect(database) as connection:
        todo = dbt.plan(connection)
    dbt.build(todo, database)
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(instruments: int, days: int, workers: int, memory: str) -> list[str]:
    """A row of the table."""
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
        database, where = Path(folder) / "warehouse.duckdb", Path(folder) / "spark"
        fill(database, instruments, NEXT - timedelta(days=days), NEXT - timedelta(days=1))
        with warehouse.connect(database) as connection:
            rows = sum(warehouse.raw_rows(connection).values())
        models = compiled(database)
        command = [sys.executable, "-m", "infra.bench.spark", "--database", str(database)]
        seconds, peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        typer.echo(f"{rows:,} raw rows: DuckDB {seconds:.0f} s, {peak:,.0f} MB", err=True)  # Spark takes long
        begun = time.perf_counter()
        export(database, models, where)
        exported = time.perf_counter() - begun
        with cluster(workers, memory=memory) as master:
            begun = time.perf_counter()
            report = rebuild(models, where, master, settings=settings(workers, 1, memory), progress=partial(typer.echo, err=True))
            on_spark = time.perf_counter() - begun
    if report.left_out:
        raise RuntimeError(f"left out: {report.left_out}")
    slowest = max(report.seconds, key=lambda name: report.seconds[name])
    times = [f"{seconds:.0f}", f"{peak:,.0f}", f"{exported:.1f}", f"{on_spark:.0f}", f"{on_spark / seconds:.1f}"]
    return [f"{rows:,}", f"{days}", *times, f"{slowest}, {report.seconds[slowest]:.0f} s"]


def main(
    days: Annotated[list[int], typer.Option(help="Days of history.")] = [3, 30],  # noqa: B006
    instruments: Annotated[int, typer.Option(help="At each of four venues.")] = 125,
    workers: Annotated[int, typer.Option(help="Workers of one core each.")] = 2,
    memory: Annotated[str, typer.Option(help="Memory of a worker.")] = "2g",
    database: Annotated[Path | None, typer.Option(help="Only make the models of this warehouse in DuckDB.")] = None,
) -> None:
    if database:
        typer.echo(json.dumps(on_duckdb(database)))
        return
    typer.echo(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for many in days:
        typer.echo(f"| {' | '.join(measured(instruments, many, workers, memory))} |")


if __name__ == "__main__":
    typer.run(main)
