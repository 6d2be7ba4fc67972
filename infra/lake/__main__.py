"""The main job on a lake of this machine: `python -m infra.lake`, or with `--folder` one that is kept.

Arguments after `--` are those of `perps run`. The servers end with the job, or with `--stay` at Ctrl-C.
"""

import os
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from infra.lake import MissingServer, servers, temporary


def main(
    run: Annotated[list[str] | None, typer.Argument(help="arguments of `perps run`")] = None,
    folder: Annotated[Path | None, typer.Option(help="folder of the servers' data; default: a temporary one")] = None,
    stay: Annotated[bool, typer.Option("--stay", help="let the servers run after the job, until Ctrl-C")] = False,
) -> None:
    """Start PostgreSQL and an S3 server on loopback, and run the main job with its warehouse and landing there."""
    with temporary() as own:
        where = folder or own
        try:
            with servers(where) as running:
                mine = {**running.environment, "PERPLAKE_HOME": str(where.resolve() / "home")}
                typer.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in mine.items()))
                perps = str(Path(sys.executable).with_name("perps"))
                ended = subprocess.run([perps, "run", *(run or [])], env={**os.environ, **mine}, check=False).returncode
                if stay:
                    typer.echo("the servers run until Ctrl-C; the variables above let `perps` read the lake")
                    with suppress(KeyboardInterrupt):
                        time.sleep(10**9)
        except MissingServer as problem:
            typer.echo(problem, err=True)
            raise typer.Exit(2) from None
    raise typer.Exit(ended)


if __name__ == "__main__":
    typer.run(main)
