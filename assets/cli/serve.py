"""`perps ui`, `perps docs` and `perps mcp`: servers on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from assets.cli.base import command, until_stopped
from assets.cli.options import COPY
from assets.runtime.interrupts import take_interrupts
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
    with until_stopped(), tempfile.TemporaryDirectory(prefix="perplake-docs-") as site:
        mkdocs = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", config, "--site-dir", site]
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        # Ctrl-C is this process's, which ends it.
        if subprocess.run(mkdocs, check=False, env=environment, start_new_session=True).returncode:
            raise ValueError("the documentation could not be built; what MkDocs says is above")
        typer.echo(f"the documentation is on http://127.0.0.1:{port}; Ctrl-C stops it")
        pages = KnownHosts(StaticFiles(directory=site, html=True), Settings().ui_hosts)
        uvicorn.Server(uvicorn.Config(pages, host="127.0.0.1", port=port, log_level="warning")).run()


@command(*COPY, "landing")
def mcp(
    settings: Settings,
    http: Annotated[bool, typer.Option("--http", help="over HTTP on loopback, instead of standard input and output")] = False,
    port: Annotated[int, typer.Option(help="of HTTP; 0: a free one")] = 8082,
) -> None:
    """The published copy for agents, by the Model Context Protocol: tables, queries, explain, coverage, signals.

    An agent starts it itself: its configuration names the command `perps mcp --home FOLDER`.
    """
    from perplake.lake import Lake
    from perplake.server import MEMORY_MB, server
    from perplake.server import http as app

    lake = Lake(settings, MEMORY_MB)
    if not http:
        # A thread that waits for the agent's next line keeps an exception from ending the process.
        take_interrupts()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server(lake).run("stdio")
        return
    import uvicorn

    from assets.cli.ui import refuse_taken_port

    refuse_taken_port(port)
    with until_stopped(), socket.create_server(("127.0.0.1", port)) as listening:
        typer.echo(f"agents find the published copy at http://127.0.0.1:{listening.getsockname()[1]}/mcp; Ctrl-C stops it")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app(lake, settings.ui_hosts), log_level="warning")).run([listening])
