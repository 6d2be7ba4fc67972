"""One connection to a stream: handshake, subscription, frames, pings, until it ends.

What is heard is told in parts: from the moment at which the venue has acknowledged all that a part is about, to the last ping
that the venue has answered (a connection that dies says nothing more), less the time within which the venue sends what happens,
without a gap in between. A ping and not a frame, because a frame may have waited, here or on its way: what the venue sent before
its answer has come, whatever the load. A dropped frame, a number that the venue left out, or instruments that are added end a
part and begin another. Nothing to run alone: `listener` keeps sessions up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec

from pipelines.collect.spool import line
from pipelines.errors import said
from pipelines.source import Session, Source, Stream

log = logging.getLogger("perplake.collect")

#: Each so many seconds a connection is asked for a sign of life (a ping of the protocol with the time), so that what was heard is
#: known to the second.
SIGN_OF_LIFE = 1.0
#: Seconds without any frame or pong after which a connection is dead.
DEAD_AFTER = 10.0
#: Seconds for a handshake, and for the answer to a subscription.
PATIENCE = 15.0
#: How many symbols are so many that one of them is bound to have data within `Stream.silence`.
MANY = 20
#: The largest frame, in bytes after decompression.
LARGEST = 8_000_000
#: The largest number of a series that is one, and by how much one may come late.
LARGEST_NUMBER, LATE = 2**53, 1000

ENDED = "the collector ended"

#: Puts a line; False where there is no room.
Put = Callable[[bytes], bool]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Connection:
    """A session. `symbols` are what it subscribes to (none: everything); `run` returns, with `ended` set, when it is over."""

    def __init__(self, source: Source, stream: Stream, url: str, name: str, symbols: Sequence[str], put: Put) -> None:
        self.source, self.stream, self.url, self.name, self._put = source, stream, url, name, put
        self.symbols = symbols
        #: What the venue refused, by symbol: its message.
        self.refused: dict[str, str] = {}
        #: Set when the venue has acknowledged everything, or the connection is over.
        self.answered = asyncio.Event()
        #: Why it is over; empty while it isn't.
        self.ended = ""
        self.connected_at = 0
        self.counts: Counter[str] = Counter()
        self.last_event = self.last_data = self.last_frame = 0
        #: When the last ping that is answered was sent, milliseconds; 0 where none is.
        self.last_answered = 0
        self.parts: list[Session] = []
        self._to_send: deque[tuple[str, ...]] = deque(_batches(symbols, stream) if stream.by_instrument else [()])
        #: By the key of a subscription that waits for its answer: its symbols, and when it was sent.
        self._sent: dict[str, tuple[tuple[str, ...], float]] = {}
        self._acknowledged: list[str] = []
        self._new: list[str] = []
        #: By part: the counts when it began.
        self._before: dict[int, Counter[str]] = {}
        #: Parts that have ended, and for whose end there was no room yet.
        self._untold: list[Session] = []
        self._numbers: dict[str, int] = {}
        self._number = 0
        self._next_send = 0.0
        self._closing = ""
        self._full = False

    # --- from outside -------------------------------------------------------------------------------------------------------

    def subscribe_to(self, symbols: Sequence[str]) -> None:
        """Subscribe to more instruments, which `symbols` has by now."""
        self._to_send.extend(_batches(symbols, self.stream))

    def end(self, why: str) -> None:
        """Close it at the next turn, within a second."""
        self._closing = self._closing or why

    @property
    def is_heard(self) -> bool:
        return bool(self.parts) and not self.ended

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Hear until it ends; never raises but when it is cancelled."""
        try:
            async with asyncio.timeout(PATIENCE):
                socket = await http.ws_connect(self.url, autoping=False, autoclose=False, max_msg_size=LARGEST, heartbeat=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
            self._over(f"no connection: {str(problem) or type(problem).__name__}")
            return
        self.connected_at = self.last_frame = now_ms()
        try:
            why = await self._hear(socket)
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            why = f"broken: {str(problem) or type(problem).__name__}"
        except asyncio.CancelledError:
            self._over(ENDED)
            raise
        except Exception as problem:  # a frame that this version doesn't understand ends its own session alone
            log.exception("%s: %s", self.name, said(str(problem)))
            why = f"{type(problem).__name__}: {problem}"
        finally:
            with suppress(Exception):
                await asyncio.wait_for(socket.close(), 1)
        self._over(why)

    # --- the connection -----------------------------------------------------------------------------------------------------

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Frames until the end; why it ended."""
        begun = time.monotonic()
        last_own_ping = last_turn = begun
        last_ping = begun - SIGN_OF_LIFE
        while True:
            now = time.monotonic()
            if self._closing:
                return self._closing
            if self._to_send and now >= self._next_send:
                await self._subscribe(socket, now)
            if now - last_turn >= 0.2:
                last_turn = now
                if problem := self._problem(now):
                    return problem
                silent = now_ms() - self.last_frame
                if silent > DEAD_AFTER * 1000:
                    return f"dead: nothing came for {silent / 1000:.0f} s, not even an answer to a ping"
                if now - last_ping >= SIGN_OF_LIFE:
                    last_ping = now
                    await socket.ping(b"%d" % now_ms())
                if self.stream.ping and now - last_own_ping >= self.stream.ping_seconds:
                    last_own_ping = now
                    await self._send(socket, self.stream.ping)
            wait = max(0.01, min(SIGN_OF_LIFE / 2, self._next_send - now)) if self._to_send else SIGN_OF_LIFE / 2
            try:
                message = await socket.receive(wait)
            except TimeoutError:
                continue
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    await self._frame(socket, message.data.encode())
                case aiohttp.WSMsgType.BINARY:
                    data = message.data
                    with suppress(Exception):  # what can't be unpacked is kept as it is, for quarantine
                        data = self.stream.unpack(data) if self.stream.unpack else data
                    await self._frame(socket, data)
                case aiohttp.WSMsgType.PING:
                    self._alive()
                    await socket.pong(message.data)
                case aiohttp.WSMsgType.PONG:
                    self._alive()
                    if message.data.isdigit():  # ours: anyone may send others
                        self.last_answered = max(self.last_answered, min(int(message.data[:20]), self.last_frame))
                case aiohttp.WSMsgType.CLOSE:
                    return f"closed by the venue: {message.data} {message.extra or ''}".rstrip()
                case aiohttp.WSMsgType.ERROR:
                    return f"broken: {message.data}"
                case _:
                    return f"broken: the connection was lost ({socket.close_code or 'no close frame'})"

    def _alive(self) -> None:
        self.last_frame = now_ms()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, message: Any) -> None:
        text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
        async with asyncio.timeout(PATIENCE):
            await socket.send_str(text)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse, now: float) -> None:
        symbols = self._to_send.popleft()
        self._number += 1
        subscription = self.stream.subscribe(symbols, self._number)
        self._sent[subscription.key] = (symbols, now)
        self._next_send = now + 1 / self.stream.per_second
        await self._send(socket, subscription.message)

    def _problem(self, now: float) -> str:
        """What is wrong although the connection is up; empty: nothing."""
        for symbols, sent in self._sent.values():
            if now - sent > PATIENCE:
                what = ", ".join(symbols[:3]) or self.stream.name
                return f"not subscribed: no answer to the subscription to {what} for {PATIENCE:.0f} s"
        quiet = now_ms() - max(self.last_data, self.parts[0].heard_from) if self.parts else 0
        may_be_silent = self.stream.by_instrument and len(self.symbols) < MANY
        if self.stream.silence and not may_be_silent and quiet > self.stream.silence * 1000:
            return f"silent: subscribed, and no event for {quiet / 1000:.0f} s. {self.stream.silent}".rstrip()
        return ""

    # --- frames -------------------------------------------------------------------------------------------------------------

    async def _frame(self, socket: aiohttp.ClientWebSocketResponse, frame: bytes) -> None:
        self.last_frame = at = now_ms()
        self.counts["messages"] += 1
        self.counts["bytes"] += len(frame)
        content, value = line(at, frame)
        if isinstance(value, str) and value == self.stream.pong:
            return
        try:
            heard = self.stream.hear(value)
        except (AttributeError, KeyError, TypeError, IndexError, ValueError):  # no frame of this venue
            heard = None
        if heard is None or heard.kind == "event" or heard.has_events:
            self._keep(at, content)
        if heard is None:
            return
        if heard.kind == "data":
            self.last_data = at
        if self.stream.numbers:
            self._count(at, value)
        if heard.kind == "acknowledged":
            self._acknowledge(heard.key)
        elif heard.kind == "refused":
            self._refuse(heard.key, heard.text)
        if heard.reply is not None:
            await self._send(socket, heard.reply)

    def _keep(self, at: int, content: bytes) -> None:
        if not self._put(content):
            self.counts["dropped"] += 1
            if not self._full:
                self._full = True
                log.error("%s: the disk of the spool is slow or full: frames are dropped, and the gap is noted", self.name)
                self._end_parts("frames were dropped: the disk was slow or full")
            return
        if self._full:
            self._full = False
            self._begin_part(at, self._acknowledged)
        self.last_event = self.last_data = at
        self.counts["events"] += 1

    def _count(self, at: int, value: Any) -> None:
        """Note the numbers that the venue left out, and where it begins to number anew."""
        assert self.stream.numbers
        try:
            numbers = [(series, int(number)) for series, number in self.stream.numbers(value)]
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):  # without them, or not as the venue has them
            return
        for series, number in numbers:
            if abs(number) > LARGEST_NUMBER:
                continue
            before = self._numbers.setdefault(series, number)
            if number > before + 1:
                self.counts["missing"] += number - before - 1
                self._part_anew(at, f"{number - before - 1} numbers of {series} are missing")
            elif number < before - LATE:
                self._part_anew(at, f"the numbers of {series} went back from {before} to {number}")
            elif number < before:
                continue
            self._numbers[series] = number

    def _part_anew(self, at: int, why: str) -> None:
        if self.parts:
            self._end_parts(why)
            self._begin_part(at, self._acknowledged)

    def _acknowledge(self, key: str) -> None:
        if key not in self._sent:
            return
        symbols = self._sent.pop(key)[0]
        self._acknowledged += symbols
        self._new += symbols
        self._settle()

    def _refuse(self, key: str, text: str) -> None:
        """A refused batch is sent again in halves, until the instruments that the venue doesn't know stand alone."""
        key = key if key in self._sent else next(iter(self._sent), "")
        if not key:
            log.warning("%s: %s says: %s", self.name, self.source.venue, said(text))
            return
        symbols, text = self._sent.pop(key)[0], said(text)
        if len(symbols) > 1:
            middle = len(symbols) // 2
            self._to_send += [symbols[:middle], symbols[middle:]]
            return
        what = symbols[0] if symbols else self.stream.name
        self.refused[what] = text
        log.warning("%s: %s refuses the subscription to %s: %s", self.name, self.source.venue, what, text)
        if not self.symbols or len(self.refused) == len(self.symbols):
            self.end(f"refused by the venue: {text}. A newer version of perplake may know its address and its topics")
            return
        self._settle()

    def _settle(self) -> None:
        """Begin a part once everything is answered."""
        if not self._sent and not self._to_send:
            if self._new or not self.stream.by_instrument:
                self._begin_part(now_ms(), self._new)
            self._new = []
            self.answered.set()

    # --- what was heard -----------------------------------------------------------------------------------------------------

    def _begin_part(self, at: int, symbols: Sequence[str]) -> None:
        part = Session(
            session=self.name,
            part=self.counts["parts"],
            stream=self.stream.name,
            symbols=" ".join(symbols),
            connected_at=self.connected_at,
            heard_from=at,
            heard_to=at,
            ended_at=None,
            ended=None,
            **dict.fromkeys(("messages", "bytes", "events", "missing", "dropped"), 0),
        )
        self.counts["parts"] += 1
        self._before[part.part] = Counter(self.counts)
        self.parts.append(part)

    def tell(self) -> None:
        """Put the state of every part that goes on."""
        self._untold = [part for part in self._untold if not self._put_state(part)]
        for part in self.parts:
            part.heard_to = self._until(part)
            self._count_part(part)
            self._put_state(part)

    def _until(self, part: Session) -> int:
        """The time up to which all that happened has been sent, if the connection ends now.

        Of a venue that answers no ping, it is that of the last frame.
        """
        answers = self.last_answered or now_ms() - self.connected_at < DEAD_AFTER * 1000
        last = self.last_answered if answers else self.last_frame
        return max(part.heard_from, last - int(self.stream.delay * 1000))

    def _count_part(self, part: Session) -> None:
        before = self._before[part.part]
        for name in ("messages", "bytes", "events", "missing", "dropped"):
            setattr(part, name, self.counts[name] - before[name])

    def _put_state(self, part: Session) -> bool:
        return self._put(b'{"at":%d,"session":%b}' % (now_ms(), msgspec.json.encode(part)))

    def _end_parts(self, why: str) -> None:
        why = said(why)
        for part in self.parts:
            part.ended_at, part.ended = now_ms(), why
            self._count_part(part)
            del self._before[part.part]
            if not self._put_state(part):
                self._untold.append(part)
        self.parts = []

    def _over(self, why: str) -> None:
        self.ended = why = said(why)
        for part in self.parts:
            part.heard_to = self._until(part)
            if why.startswith("silent"):  # nothing says that anything would have come since the last data
                part.heard_to = max(part.heard_from, min(part.heard_to, self.last_data))
        self._end_parts(why)
        self.answered.set()


def without_redirects() -> aiohttp.TraceConfig:
    """Of an HTTP session: a handshake that is redirected fails, since a venue's stream is at its own address."""

    async def refuse(http: aiohttp.ClientSession, context: Any, redirect: aiohttp.TraceRequestRedirectParams) -> None:
        raise ValueError(f"redirected to {redirect.response.headers.get('Location', '')!r}, which is not asked")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(refuse)
    return tracing


def _batches(symbols: Sequence[str], stream: Stream) -> list[tuple[str, ...]]:
    return [tuple(symbols[n : n + stream.per_request]) for n in range(0, len(symbols), stream.per_request)]
