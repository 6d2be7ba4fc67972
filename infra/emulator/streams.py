"""WebSocket streams of the venues: liquidations as they happen by the emulator's clock, in each venue's wire form and strictness.

A venue module gives its `channels`, each a connection as the venue's server sees it: what it answers to a text, and what it sends
of the events since the last time. The same events are in the venue's REST history. Admin routes, with the token:

    POST /admin/streams {"do": "cascade", "events": 10000, "seconds": 60}   more liquidations, of each market with a channel
    POST /admin/streams {"do": "close", "code": 1012, "venue": "binance"}   to all open connections (of a venue)
    POST /admin/streams {"do": "stall", "seconds": 5}                       for so long

`drop` (without a close frame) and `close` happen at once; `stall` (no events, which are lost), `freeze` (no answer to a ping
either), `repeat` (each frame twice), `reorder`, `garbage` (beside each frame), `silent` (a subscription is acknowledged, and
nothing comes) and `refuse` (no handshake: 503) last `seconds`. `GET /admin/streams` has the connections,
`GET /admin/streams/events?since=MS` what truly happened. Nothing to run alone.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from aiohttp import WSMsgType, web

from infra.emulator.market import Market, World
from infra.emulator.rendering import encode
from infra.emulator.store import Liquidations, Listing

#: Seconds between two looks at what has happened.
BEAT = 0.05
#: How long before the last look, in milliseconds, an event may have happened that is still sent: the clock may be set ahead.
LATE = 2000
GARBAGE: tuple[str | bytes, ...] = (
    "<html>502 Bad Gateway</html>",
    '{"half": ',
    "[]",
    "null",
    '{"data":[{"x":1}]}',
    b"\x00\xff\x1f\x8b",
)


class Forced(NamedTuple):
    """A forced close: its market and listing, ms, whether a long was closed, price, size in listed coins."""

    market: str
    listing: Listing
    time: int
    long: bool
    price: float
    size: float


class Streaming(Protocol):
    """A venue with streams."""

    name: str
    market: Market
    world: World
    channels: tuple[type[Channel], ...]

    @property
    def streamed(self) -> Mapping[str, Market]: ...

    def symbol(self, listing: Listing) -> str: ...


class Server(Protocol):
    """The emulator, as the streams see it."""

    @property
    def venues(self) -> Sequence[Streaming]: ...

    def now(self, venue: str) -> int: ...


class Close(NamedTuple):
    """The venue ends the connection."""

    code: int
    reason: str = ""


class Ping(NamedTuple):
    """A ping of the protocol."""


Frame = str | bytes | Close | Ping


class Channel:
    """One connection to a venue's stream, as its server sees it.

    `path` is a pattern as in `route`, below the venue's prefix. `markets` are those whose events it has. Events are handed over
    each `every` seconds. A client that sends nothing for `patience` seconds (no text; of the protocol's frames with `pings`) is
    cut off. `per_second` texts are taken.
    """

    path: ClassVar[str]
    every: ClassVar[float] = BEAT
    patience: ClassVar[float | None] = None
    pings: ClassVar[bool] = False
    per_second: ClassVar[int] = 50

    def __init__(self, venue: Any, query: Mapping[str, str], **parts: str) -> None:
        self.venue, self.query, self.parts = venue, query, parts
        self.now = 0

    @property
    def markets(self) -> Mapping[str, Market]:
        return {self.venue.name: self.venue.market}

    def opened(self) -> Iterable[Frame]:
        return ()

    def receive(self, text: str) -> Iterable[Frame]:
        """The answers to a text of the client's."""
        raise NotImplementedError

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        """What is sent of the events since the last time."""
        raise NotImplementedError

    def idle(self, seconds: float) -> Iterable[Frame]:
        """What the server sends by itself: called each second, with the seconds since the start."""
        return ()


def json(content: Any) -> str:
    return encode(content).decode()


def as_json(text: str) -> dict[str, Any]:
    """A client's text as an object; an empty one where it is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except ValueError:
        return {}


def trade_id(symbol: str, event: Forced, forced: bool) -> str:
    """The id of a trade of an event, the same to every connection."""
    return str(zlib.crc32(f"{symbol} {event.time} {event.price} {event.size} {forced}".encode()))


def largest_a_symbol(events: Sequence[Forced]) -> list[Forced]:
    """One event of each listing and market, the largest: what a sampled stream shows of a second."""
    found: dict[tuple[str, str], Forced] = {}
    for event in events:
        key = event.market, event.listing.listed
        if key not in found or event.size * event.price > found[key].size * found[key].price:
            found[key] = event
    return list(found.values())


def happened(markets: Mapping[str, Market], since: int, until: int) -> list[Forced]:
    """The events with since < time <= until, by time."""
    found: list[Forced] = []
    for name, market in markets.items():
        for listing in market.listings(until):
            forced = market.liquidations(listing.listed)
            if forced is None:
                continue
            first, last = (int(np.searchsorted(forced.time, at, "right")) for at in (since, until))
            found += [
                Forced(name, listing, int(forced.time[n]), bool(forced.long[n]), float(forced.price[n]), float(forced.size[n]))
                for n in range(first, last)
            ]
    return sorted(found, key=lambda event: event.time)


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """What a test asks of the streams, as posted."""

    do: Literal["cascade", "drop", "close", "stall", "freeze", "repeat", "reorder", "garbage", "silent", "refuse"]
    venue: str | None = None
    seconds: float = 60
    code: int = 1001
    reason: str = ""
    events: int = 10_000
    seed: int = 0


class _Connection:
    def __init__(self, channel: Channel, socket: web.WebSocketResponse, request: web.Request, silent: bool) -> None:
        self.channel, self.socket, self.request, self.silent = channel, socket, request, silent
        self.heard = self.begun = self.pushed = time.monotonic()
        self.since = 0
        self.ticked = 0
        self.texts: list[float] = []
        #: Held while what happened is sent, so that the answer to a ping comes after what is due by then.
        self.turn = asyncio.Lock()


class Streams:
    """All open connections of an emulator."""

    def __init__(self, emulator: Server) -> None:
        self.emulator = emulator
        self.connections: list[_Connection] = []
        self._active: list[tuple[Command, float]] = []
        self._random = random.Random(7)
        self._channels = [
            (venue, re.compile(expression(channel.path)), channel) for venue in emulator.venues for channel in venue.channels
        ]

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/admin/streams", self._command)
        app.router.add_get("/admin/streams", self._state)
        app.router.add_get("/admin/streams/events", self._events)
        app.cleanup_ctx.append(self._background)

    async def _background(self, app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._beat())
        yield
        task.cancel()
        for connection in list(self.connections):
            with suppress(Exception):
                await asyncio.wait_for(connection.socket.close(code=1001), 0.2)

    # --- a connection -------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request, venue: Streaming, path: str) -> web.StreamResponse:
        """The handshake, and the connection until its end."""
        found = next(
            ((match, kind) for v, pattern, kind in self._channels if v is venue and (match := pattern.fullmatch(path))), None
        )
        if found is None:
            return web.Response(status=404)
        if self._is("refuse", venue):
            return web.Response(status=503)
        match, kind = found
        socket = web.WebSocketResponse(autoping=False, autoclose=True, timeout=0.5, max_msg_size=1 << 20)
        await socket.prepare(request)
        channel = kind(venue, request.query, **match.groupdict())
        connection = _Connection(channel, socket, request, self._is("silent", venue))
        channel.now = connection.since = self._now()
        self.connections.append(connection)
        try:
            await self._send(connection, channel.opened())
            async for message in socket:
                if not self._is("freeze", venue):
                    await self._receive(connection, message.type, message.data)
        except (ConnectionError, RuntimeError):  # it is gone
            pass
        finally:
            if connection in self.connections:
                self.connections.remove(connection)
        return socket

    async def _receive(self, connection: _Connection, kind: WSMsgType, data: Any) -> None:
        now, channel = time.monotonic(), connection.channel
        if kind is WSMsgType.PING:
            await self._turn(connection)
            await connection.socket.pong(data)
        if kind is WSMsgType.TEXT or channel.pings:
            connection.heard = now
        if kind is not WSMsgType.TEXT:
            return
        connection.texts = [at for at in connection.texts if now - at < 1] + [now]
        if len(connection.texts) > channel.per_second:
            await self._send(connection, [Close(1008, "Too many requests")])
            return
        channel.now = self._now()
        connection.silent = connection.silent or self._is("silent", channel.venue)
        await self._send(connection, channel.receive(data))

    async def _send(self, connection: _Connection, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if isinstance(frame, Close):
                await connection.socket.close(code=frame.code, message=frame.reason.encode())
                return
            if isinstance(frame, Ping):
                await connection.socket.ping()
                continue
            await (connection.socket.send_str(frame) if isinstance(frame, str) else connection.socket.send_bytes(frame))

    # --- events -------------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.emulator.now("")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            for connection in list(self.connections):
                with suppress(ConnectionError, RuntimeError):
                    await self._turn(connection)

    async def _turn(self, connection: _Connection) -> None:
        """What is due on a connection by now."""
        async with connection.turn:
            await self._push(connection)

    async def _push(self, connection: _Connection) -> None:
        now, channel = time.monotonic(), connection.channel
        venue = channel.venue
        if self._is("freeze", venue):
            return
        if channel.patience and now - connection.heard > channel.patience:
            await self._send(connection, [Close(1000, "no ping")])
            return
        seconds = int(now - connection.begun)
        if seconds > connection.ticked:
            connection.ticked = seconds
            channel.now = self._now()
            await self._send(connection, channel.idle(seconds))
        if now - connection.pushed < channel.every:
            return
        # What happened while this loop was held up, by an answer that takes seconds, is sent all the same.
        latest = LATE + int((time.monotonic() - connection.pushed) * 1000)
        connection.pushed, since = now, max(connection.since, self._now() - latest)
        channel.now = connection.since = self._now()
        events = happened(channel.markets, since, connection.since)
        if connection.silent or self._is("stall", venue):
            return
        frames = list(channel.push(events)) if events else []
        if self._is("repeat", venue):
            frames = [frame for frame in frames for _ in (0, 1)]
        if self._is("reorder", venue):
            self._random.shuffle(frames)
        if self._is("garbage", venue):
            frames = [each for frame in frames for each in (frame, self._random.choice(GARBAGE))]
        await self._send(connection, frames)

    # --- what tests ask -----------------------------------------------------------------------------------------------------

    def _is(self, what: str, venue: Streaming) -> bool:
        """True while a command lasts."""
        return any(
            command.do == what and command.venue in (None, venue.name) and time.monotonic() < until
            for command, until in self._active
        )

    async def _command(self, request: web.Request) -> web.Response:
        try:
            command = msgspec.json.decode(await request.read(), type=Command)
        except msgspec.DecodeError as problem:
            return web.json_response({"error": str(problem)}, status=400)
        meant = [c for c in self.connections if command.venue in (None, c.channel.venue.name)]
        if command.do == "cascade":
            return web.json_response(self._cascade(command))
        for connection in meant:
            if command.do == "drop" and connection.request.transport:
                connection.request.transport.abort()
            elif command.do == "close":
                with suppress(ConnectionError, RuntimeError):
                    await connection.socket.close(code=command.code, message=command.reason.encode())
        if command.do not in ("drop", "close"):
            self._active.append((command, time.monotonic() + command.seconds))
        return web.json_response({"connections": len(meant)})

    def _cascade(self, command: Command) -> dict[str, int]:
        """So many events in each market of a venue with channels, at random times within so many seconds from now on."""
        begin, made = self._now() + 1, {}
        for venue in self.emulator.venues:
            if not venue.channels or command.venue not in (None, venue.name):
                continue
            for name, market in venue.streamed.items():
                rng = np.random.default_rng([command.seed, *name.encode()])
                listings = [x for x in market.listings(begin) if market.price(x.listed, "trade", begin) > 0]
                which = rng.integers(0, len(listings), command.events)
                for number, listing in enumerate(listings):
                    count = int((which == number).sum())
                    price = market.price(listing.listed, "trade", begin)
                    times = np.sort(begin + rng.integers(0, max(1, int(command.seconds * 1000)), count))
                    prices = np.array([float(f"{p:.6g}") for p in price * (1 - 0.1 * rng.random(count))])
                    sizes = np.array([float(f"{s:.5g}") for s in 1000 * (rng.pareto(1.5, count) + 1) / price])
                    market.add_liquidations(
                        listing.listed, Liquidations(times.astype(np.int64), rng.random(count) < 0.9, prices, sizes)
                    )
                made[name] = command.events
        return made

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response([{"venue": c.channel.venue.name, "path": c.request.path} for c in self.connections])

    async def _events(self, request: web.Request) -> web.Response:
        """Market, the venue's symbol, time, side of the position, price, size in listed coins."""
        since = int(request.query.get("since", 0))
        rows = [
            [e.market, e.listing.listed, e.time, "long" if e.long else "short", e.price, e.size]
            for venue in self.emulator.venues
            if venue.channels
            for e in happened(venue.streamed, since, self._now())
        ]
        return web.json_response(rows)


def expression(pattern: str) -> str:
    """A route's pattern as a regular expression."""
    pieces = re.split(r"\{(\w+)(?::([^}]+))?\}", pattern)
    parts = [re.escape(pieces[0])]
    for name, options, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        parts.append(f"(?P<{name}>{options or '[^/]+'}){re.escape(text)}")
    return "".join(parts)
