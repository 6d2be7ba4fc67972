"""The emulator as an aiohttp application: venues under their prefixes, one clock, limits, faults, a log of requests.

A request goes: fault before the answer? -> venue module -> limits -> fault on the answer -> bytes. Every answer carries
`X-Perplake-Origin` (where the market data comes from) and a `Date` of the emulator's clock. Admin routes: `GET /admin/health`,
and with the emulator's token `GET|DELETE /admin/requests`, `POST|DELETE /admin/faults`, `POST /admin/clock`, and those of
`streams`. A request under another host's name is refused, so that no page in a browser reaches the emulator by a name of its own
(DNS rebinding).
Alone: `python -m infra.emulator`; in a test: `infra.emulator.testing.serve`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from infra.emulator.faults import HTML, ON_ROWS, Fault, Faults, in_rows
from infra.emulator.limits import Limits
from infra.emulator.market import Market
from infra.emulator.messages import Answer, Ask, Parameters
from infra.emulator.store import MS_HOUR, MarketStore
from infra.emulator.streams import Streams
from infra.emulator.venue import Venue
from infra.emulator.venues import venues

#: The header of the token, and the variable that may set it.
TOKEN_HEADER, TOKEN_VARIABLE = "X-Perplake-Token", "PERPLAKE_EMULATOR_TOKEN"
LOGGED = 50_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AHEAD = 24 * MS_HOUR  # the store is extended by a day beyond the clock, so that a clock that runs rarely renders anew


class Clock:
    """`as_of` (ms) stands still; None runs with the machine's clock."""

    def __init__(self, as_of: int | None) -> None:
        self.as_of = as_of

    def now(self) -> int:
        return int(time.time() * 1000) if self.as_of is None else self.as_of


class Emulator:
    """All venues over one store. `days` of history before the clock are shown; None = all that the store has."""

    def __init__(
        self,
        store: MarketStore,
        *,
        as_of: int | None = None,
        days: float | None = None,
        limits_scale: float = 1.0,
        history_limits: bool = True,
    ) -> None:
        self.store, self.clock, self.faults = store, Clock(as_of), Faults()
        self.token = os.environ.get(TOKEN_VARIABLE) or secrets.token_hex(16)
        now = self.clock.now()
        since = 0 if days is None else now // (24 * MS_HOUR) * 24 * MS_HOUR - int(days * 24 * MS_HOUR)
        self._extended = 0
        self._since, self.history, self.scale = since, history_limits, limits_scale
        self._markets: dict[str, Market] = {}
        self.venues: tuple[Venue, ...] = tuple(venue(self) for venue in venues())
        self._limits = {venue.name: Limits(venue.limits, limits_scale, venue.patience) for venue in self.venues}
        self._previous: dict[str, Answer] = {}
        self.log: deque[dict[str, Any]] = deque(maxlen=LOGGED)
        self.streams = Streams(self)

    def market(self, name: str) -> Market:
        """The store's market of that name, as it may be shown."""
        if name not in self._markets:
            self._markets[name] = Market(self.store, name, self._since)
        return self._markets[name]

    def now(self, venue: str) -> int:
        """The venue's clock (ms), a `clock` fault included; the store reaches at least there."""
        now = self.clock.now() + self.faults.shift(venue)
        if now > self._extended:
            self._extended = now + AHEAD
            self.store.extend(self._extended)
            for market in self._markets.values():
                market.forget()
        return now

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20, middlewares=[self._guard])
        for venue in self.venues:
            app.router.add_route("*", venue.prefix + "/{path:.*}", self._route(venue))
        self.streams.add_routes(app)
        app.router.add_get("/admin/health", self._health)
        app.router.add_get("/admin/requests", self._requests)
        app.router.add_delete("/admin/requests", self._forget_requests)
        app.router.add_post("/admin/faults", self._add_fault)
        app.router.add_delete("/admin/faults", self._clear_faults)
        app.router.add_post("/admin/clock", self._set_clock)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse other names than loopback's, and admin routes without the token."""
        if urlsplit(f"//{request.host}").hostname not in ("127.0.0.1", "localhost", "::1"):
            return _json({"error": f"this is no {request.host}"}, 403)
        if request.path.startswith("/admin/") and request.path != "/admin/health":
            given = request.headers.get(TOKEN_HEADER, "")
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return _json({"error": f"the header {TOKEN_HEADER} needs the token that the emulator printed at its start"}, 403)
        return await handler(request)

    def _route(self, venue: Venue) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self.streams.handle(request, venue, request.path.removeprefix(venue.prefix))
            body = await request.read()
            now = self.now(venue.name)
            path = request.path.removeprefix(venue.prefix)
            asked = f"{path}?{request.query_string}\n{body.decode(errors='replace')}"
            fault = self.faults.take(venue.name, asked, request.method)
            overlap = 5 if fault and fault.kind == "overlapping_page" else 0
            ask = Ask(request.method, path, Parameters(request.query), request.headers, body, now, overlap)
            answer = self._answer(venue, ask, fault)
            self.log.append(
                {
                    "venue": venue.name,
                    "method": request.method,
                    "path": request.path,
                    "query": dict(request.query),
                    "body": body.decode(errors="replace"),
                    "unread": sorted(ask.query.unread),
                    "status": answer.status,
                    "weight": sum(answer.charges.values()),
                    "fault": fault.kind if fault else None,
                }
            )
            return await self._send(request, venue, answer, fault, now)

        return handle

    def _answer(self, venue: Venue, ask: Ask, fault: Fault | None) -> Answer:
        early = _instead(venue, ask, fault) if fault else None
        if early:
            return early
        answer = venue.answer(ask)
        limits = self._limits[venue.name]
        banned = limits.banned
        broken = limits.charge(answer.charges)
        if banned or broken:
            return venue.refuse(ask, broken, banned=limits.banned)
        key = f"{ask.path} {ask.body[:40]!r}"
        if fault and fault.kind == "repeated_page":
            return self._previous.get(key, answer)
        self._previous[key] = answer
        return in_rows(fault, answer) if fault and fault.kind in ON_ROWS else answer

    async def _send(
        self, request: web.Request, venue: Venue, answer: Answer, fault: Fault | None, now: int
    ) -> web.StreamResponse:
        headers = {
            "Date": formatdate(now / 1000, usegmt=True),
            "X-Perplake-Origin": self.store.origin,
            "Content-Type": answer.content_type,
            **venue.usage_headers(self._limits[venue.name].usages()),
            **answer.headers,
        }
        kind = fault.kind if fault else None
        if kind == "stall" and fault:
            await asyncio.sleep(fault.seconds)
        if kind == "reset":
            response = web.StreamResponse(status=answer.status, headers=headers)
            response.content_length = len(answer.body)
            await response.prepare(request)
            await response.write(answer.body[: len(answer.body) // 2])
            if request.transport:
                request.transport.abort()
            return response
        body = answer.body[: len(answer.body) // 2] if kind == "truncated" else answer.body
        if request.method == "HEAD":
            return web.Response(status=answer.status, headers={**headers, "Content-Length": str(len(body))})
        return web.Response(body=body, status=answer.status, headers=headers)

    async def _health(self, request: web.Request) -> web.Response:
        clock = datetime.fromtimestamp(self.clock.now() / 1000, UTC).isoformat()
        fixed = self.clock.as_of is not None
        content = {"origin": self.store.origin, "clock": clock, "fixed": fixed, "venues": {v.name: v.prefix for v in self.venues}}
        return _json(content | {"notes": getattr(self.store, "notes", [])})

    async def _requests(self, request: web.Request) -> web.Response:
        return _json(list(self.log))

    async def _forget_requests(self, request: web.Request) -> web.Response:
        self.log.clear()
        return _json({})

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.DecodeError as problem:
            return _json({"error": str(problem)}, 400)
        self.faults.queue.append(fault)
        return _json({"queued": len(self.faults.queue)})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.queue.clear()
        return _json({})

    async def _set_clock(self, request: web.Request) -> web.Response:
        """`{"as_of": "2025-10-11T00:00Z"}`; null = the machine's clock."""
        try:
            as_of = (await request.json())["as_of"]
            self.clock.as_of = None if as_of is None else to_ms(as_of)
        except (LookupError, TypeError, ValueError) as problem:
            return _json({"error": str(problem)}, 400)
        return _json({"clock": self.clock.now()})


def _instead(venue: Venue, ask: Ask, fault: Fault) -> Answer | None:
    """The answer that a fault sends in place of the venue's; None where it works on the venue's."""
    match fault.kind:
        case "429" | "418":
            answer = venue.refuse(ask, None, banned=fault.kind == "418")
            wait = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return replace(answer, status=int(fault.kind), headers={**answer.headers, **wait})
        case "500":
            return replace(venue.error(ask), status=500)
        case "html":
            return Answer(HTML, fault.status, "text/html")
        case "error_200":
            own = venue.error(ask)
            return Answer(own.body if fault.body is None else fault.body.encode(), 200, own.content_type)
        case "region":
            return venue.blocked(ask)
        case "stall":
            return Answer(b"", 200)
    return None


def to_ms(text: str) -> int:
    """ISO 8601, UTC where it names no zone, to ms. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


async def start(emulator: Emulator, port: int) -> tuple[web.AppRunner, int]:
    """Listen on loopback; the runner (to be cleaned up) and the port."""
    runner = web.AppRunner(emulator.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    addresses: Iterable[Any] = runner.addresses
    return runner, next(iter(addresses))[1]
