"""Dagster's web server, answering to known hosts only.

Dagster's own answers any `Host`, so a page of a stranger could reach it through a name that resolves to 127.0.0.1 (DNS
rebinding), and takes a mutation from any page, as a POST without a preflight. Here the `Host` and, where there is one, the
`Origin` of a request must be a loopback name or one of `ui_hosts`.

Alone, with the options of `dagster-webserver`: `python -m assets.runtime.webserver`.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from dagster_webserver.cli import cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.settings import Settings

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class KnownHosts:
    """ASGI middleware: HTTP 403 for requests, and for websockets, whose `Host` or `Origin` isn't among `hosts`."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, {host.lower() for host in (*LOOPBACK, *hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            named = [f"//{headers.get('host', '')}", *headers.getlist("origin")]
            if unknown := [name for name in named if not self._knows(name)]:
                text = f"this server doesn't answer to {unknown[0].strip('/')!r}: set PERPLAKE_UI_HOSTS to the names it has\n"
                refusal = PlainTextResponse(text, status_code=403)
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _knows(self, url: str) -> bool:
        try:
            return (urlsplit(url).hostname or "") in self.hosts
        except ValueError:  # no address at all
            return False


def main() -> None:
    known = Middleware(KnownHosts, hosts=Settings().ui_hosts)
    build = DagsterWebserver.build_middleware
    DagsterWebserver.build_middleware = lambda self: [known, *build(self)]  # type: ignore[method-assign]  # it has no option
    cli(auto_envvar_prefix="DAGSTER_WEBSERVER")


if __name__ == "__main__":
    main()
