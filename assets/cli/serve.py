"""`perps ui` and `perps docs`: servers on loopback, until Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from assets.cli.base import command
from pipelines.settings import Settings


@command("mode")
def ui(settings: Settings, port: Annotated[int, typer.Option(help="of the Dagster UI")] = 3000) -> None:
    """The Dagster UI on loopback, with the venue emulator running beside it (not when live)."""
    from assets.cli.ui import serve

    serve(settings, port)


@command()
def docs(port: Annotated[int, typer.Option(help="of the documentation")] = 8081) -> None:
    """Build the documentation and serve it on loopback: guides, every table and column, venues, settings, commands."""
    if find_spec("material") is None:
        raise ValueError("the documentation needs MkDocs Material: `pip install -e '.[dev]'`")
    config = str(Path(__file__).parents[2] / "mkdocs.yml")
    mkdocs = [sys.executable, "-m", "mkdocs", "serve", "--config-file", config, "--dev-addr", f"127.0.0.1:{port}"]
    with suppress(KeyboardInterrupt):
        subprocess.run(mkdocs, check=True)
