"""A lake against a file: the same run on both, on one machine, its seconds as a ratio and its marts compared by checksum.

PostgreSQL and the S3 server run on the same machine; their start is not counted. The runs take turns, and the medians count.

Alone: `python -m infra.bench.lake --rounds 3`; arguments after two dashes are those of `perps run`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from infra.compare import differences
from infra.lake import servers, temporary


def perps(arguments: list[str], home: Path, more: Mapping[str, str] = {}) -> None:
    """Run a command of perplake's to its end. Raises `RuntimeError` where it fails."""
    command = [str(Path(sys.executable).with_name("perps")), *arguments]
    done = subprocess.run(command, env={**os.environ, **more, "PERPLAKE_HOME": str(home)}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def timed(arguments: list[str], home: Path, more: Mapping[str, str] = {}) -> float:
    """The seconds of `perps run`. Raises `RuntimeError` where it fails."""
    began = time.perf_counter()
    perps(["run", *arguments], home, more)
    return time.perf_counter() - began


def main(
    run: Annotated[list[str] | None, typer.Argument(help="arguments of `perps run`")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="runs of each")] = 1,
) -> None:
    """Run a job on a file and on a lake, each from nothing; exit status 1 where a mart differs."""
    seconds: dict[str, list[float]] = {"file": [], "lake": []}
    with temporary() as folder:
        for number in range(rounds):
            own = folder / str(number)
            with servers(own / "servers") as running:
                seconds["file"].append(timed(run or [], own / "file"))
                seconds["lake"].append(timed(run or [], own / "lake", running.environment))
                os.environ.update(running.environment)
                market = (own / "lake" / "current").resolve().name
                published = f"{market}/published/perplake"
                found = differences(own / "file" / f"{published}.duckdb", own / "lake" / f"{published}.lake")
                for name in running.environment:
                    del os.environ[name]
    for table, (rows, result) in found.items():
        if result != "equal":
            typer.echo(f"{table}: {rows:,} rows, {result}")
    equal = sum(result == "equal" for _, result in found.values())
    typer.echo(f"{equal} of {len(found)} marts are equal, {sum(rows for rows, _ in found.values()):,} rows")
    file, lake = median(seconds["file"]), median(seconds["lake"])
    typer.echo(f"file {file:.1f} s, lake {lake:.1f} s: {lake / file:.2f} times as long")
    raise typer.Exit(equal != len(found))


if __name__ == "__main__":
    typer.run(main)
