"""ASGI middleware by which a server on loopback answers to known hosts only.

A page of a stranger could reach the server through a name that resolves to 127.0.0.1 (DNS rebinding), so the `Host` and, where
there is one, the `Origin` of a request must be a loopback name or one of `ui_hosts`.

Alone: `KnownHosts(app, ["perps.example.org"])` is an ASGI application.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

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
