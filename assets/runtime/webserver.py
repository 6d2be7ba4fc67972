"""Dagster's web server, answering to known hosts only.

Dagster's own answers any `Host`, and takes a mutation from any page, as a POST without a preflight (`assets.runtime.hosts`).

Alone, with the options of `dagster-webserver`: `python -m assets.runtime.webserver`.
"""

from __future__ import annotations

from dagster_webserver.cli import cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from assets.runtime.hosts import KnownHosts
from pipelines.settings import Settings


def main() -> None:
    known = Middleware(KnownHosts, hosts=Settings().ui_hosts)
    build = DagsterWebserver.build_middleware
    DagsterWebserver.build_middleware = lambda self: [known, *build(self)]  # type: ignore[method-assign]  # it has no option
    cli(auto_envvar_prefix="DAGSTER_WEBSERVER")


if __name__ == "__main__":
    main()
