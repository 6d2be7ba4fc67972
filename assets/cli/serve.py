"""`perps ui` and `perps docs`: servers on loopback, until Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import tempfile
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
    import uvicorn
    from starlette.staticfiles import StaticFiles

    from assets.cli.ui import refuse_taken_port
    from assets.runtime.hosts import KnownHosts

    refuse_taken_port(port)
    config = str(Path(__file__).parents[2] / "mkdocs.yml")
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="perplake-docs-") as site:
        mkdocs = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", config, "--site-dir", site]
        if subprocess.run(mkdocs, check=False).returncode:
            raise ValueError("the documentation could not be built; what MkDocs says is above")
        typer.echo(f"the documentation is on http://127.0.0.1:{port}; Ctrl-C stops it")
        pages = KnownHosts(StaticFiles(directory=site, html=True), Settings().ui_hosts)
        uvicorn.run(pages, host="127.0.0.1", port=port, log_level="warning")
