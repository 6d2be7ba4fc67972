"""`perps spark`: facts and marts made on a Spark cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assets.cli.base import command
from assets.cli.manage import current
from pipelines import warehouse
from pipelines.errors import printable
from pipelines.settings import Settings


@command("mode", "home", "warehouse", "seed")
def spark(
    settings: Settings,
    master: Annotated[str, typer.Option(help="the cluster, as `spark://HOST:7077`; `local[*]`: this process alone")] = "local[*]",
    folder: Annotated[
        Path | None,
        typer.Option(help="of the Parquet files, at one path on all machines", show_default="spark/ beside the warehouse"),
    ] = None,
    conf: Annotated[list[str] | None, typer.Option("--conf", help="a setting of Spark's, as `spark.executor.memory=8g`")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="write staging and intermediate views, too")] = False,
) -> None:
    """Make facts and marts on a Spark cluster, from the warehouse's raw tables: Parquet, and `perplake.duckdb` with views of it.

    The warehouse stays as it is. Exit status 1 when a model was left out, which is said with its reason.
    """
    import dagster as dg

    from assets.spark.rebuild import compiled, export, rebuild, spark_home

    spark_home()
    given = dict(setting.partition("=")[::2] for setting in conf or [])
    database = current(settings).database
    where = folder or database.parent / "spark"
    try:
        with warehouse.one_writer(database):
            models = compiled(database)
            export(database, models, where)
    except dg.Failure as problem:
        raise ValueError(str(problem.description)) from None
    report = rebuild(models, where, master, settings=given, keep_all=everything, progress=typer.echo)
    for name, reason in report.left_out.items():
        typer.echo(printable(f"left out: {name}: {reason}"), err=True)
    typer.echo(
        f"{len(report.seconds)} of {len(models)} models, {sum(report.rows.values()):,} rows in {len(report.rows)} tables: "
        f"{where / 'perplake.duckdb'}"
    )
    if report.left_out:
        raise typer.Exit(1)
