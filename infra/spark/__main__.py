"""The models on a Spark cluster of this machine: `python -m infra.spark`, with the options of `perps spark` behind two dashes."""

import subprocess
import sys
from typing import Annotated

import typer

from assets.spark.rebuild import MissingSpark
from infra.spark import cluster, settings


def main(
    options: Annotated[list[str] | None, typer.Argument(help="options of `perps spark`")] = None,
    workers: Annotated[int, typer.Option(min=1, help="how many workers")] = 2,
    cores: Annotated[int, typer.Option(min=1, help="cores of a worker")] = 1,
    memory: Annotated[str, typer.Option(help="memory of a worker")] = "2g",
) -> None:
    """Start a standalone master and its workers on loopback, and make facts and marts there."""
    try:
        with cluster(workers, cores, memory) as master:
            conf = [f"--conf={name}={value}" for name, value in settings(workers, cores, memory).items()]
            perps = [sys.executable, "-m", "assets.cli", "spark", "--master", master, *conf, *(options or [])]
            ended = subprocess.run(perps, check=False).returncode
    except MissingSpark as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(ended)


if __name__ == "__main__":
    typer.run(main)
