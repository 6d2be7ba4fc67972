"""A stream kept up: its instruments spread over connections, each replaced when it ends and before the venue ends it.

New listings are subscribed as they appear, on a connection that has room or on a new one. A connection that is replaced before
its time (`Stream.lifetime`) is closed once the next one is subscribed, so that nothing is missed in between: what both heard is
one event. Nothing to run alone: `collector` has a listener for each stream.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

import aiohttp

from pipelines.collect.session import ENDED, Connection
from pipelines.errors import VenueError
from pipelines.reading import Unreadable, read_instruments
from pipelines.run import Run
from pipelines.source import Instrument, Request, Source, Stream

log = logging.getLogger("perplake.collect")

#: Seconds between two looks at the list of instruments, and before the next look where there is none yet.
LISTING_SECONDS, LISTING_AGAIN = 300.0, 20.0
#: Seconds before a reconnection: at first, at most. A connection that held for `HELD` seconds begins anew with the first.
FIRST_WAIT, LONGEST_WAIT, HELD = 0.2, 60.0, 60.0
#: Seconds between two handshakes of a stream.
APART = 0.4
#: Seconds, beside the stream's delay, for which a connection goes on after the one that replaces it is subscribed.
OVERLAP = 3.0
REPLACED = "replaced by a new connection before the venue ends it"


class Listener:
    """One stream of one source. `connections` are those that are up or coming up."""

    def __init__(self, run: Run, source: Source, stream: Stream, tag: str, put: Callable[[bytes], bool]) -> None:
        self.run, self.source, self.stream, self.tag, self._put = run, source, stream, tag, put
        self.url = run.stream_url(source, stream)
        self.connections: list[Connection] = []
        #: Of connections that are over.
        self.totals = {"messages": 0, "bytes": 0, "events": 0, "missing": 0, "dropped": 0}
        self.reconnections = 0
        self.last_problem = ""
        self.last_event = 0
        self._groups: list[list[str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._number = 0

    # --- how it goes --------------------------------------------------------------------------------------------------------

    @property
    def is_heard(self) -> bool:
        """True while all that is wanted is subscribed and heard."""
        return bool(self._groups) and sum(c.is_heard for c in self.connections) >= len(self._groups)

    def count(self, name: str) -> int:
        return self.totals[name] + sum(connection.counts[name] for connection in self.connections)

    @property
    def symbols(self) -> int:
        return sum(map(len, self._groups))

    def newest_event(self) -> int:
        """The arrival of the last event in milliseconds; 0 where there was none."""
        return max([self.last_event, *(connection.last_event for connection in self.connections)])

    def tell(self) -> None:
        for connection in self.connections:
            connection.tell()

    # --- hearing ------------------------------------------------------------------------------------------------------------

    async def hear(self, http: aiohttp.ClientSession) -> None:
        """Hear for ever."""
        async with asyncio.TaskGroup() as group:
            if not self.stream.by_instrument:
                self._groups.append([])
                group.create_task(self._keep(http, self._groups[0]))
                return
            known: set[str] = set()
            while True:
                new = [symbol for symbol in await self._listed() if symbol not in known]
                known.update(new)
                if new:
                    self._place(http, group, new)
                await asyncio.sleep(LISTING_SECONDS if known else LISTING_AGAIN)

    def _place(self, http: aiohttp.ClientSession, group: asyncio.TaskGroup, symbols: list[str]) -> None:
        """Give instruments to the connection that has room, then to new ones."""
        most = self.stream.per_connection
        if self._groups and (room := most - len(self._groups[-1])) > 0:
            added, symbols = symbols[:room], symbols[room:]
            self._groups[-1] += added
            for connection in self.connections:
                if connection.symbols is self._groups[-1]:
                    connection.subscribe_to(added)
        for first in range(0, len(symbols), most):
            self._groups.append(symbols[first : first + most])
            group.create_task(self._keep(http, self._groups[-1]))

    async def _listed(self) -> list[str]:
        """The symbols of the instruments that trade, of the chosen assets; none where the list can't be had now."""
        settings = self.run.settings
        wanted = set(settings.assets) if "assets" in settings.model_fields_set else {"all"}
        try:
            found = await listed(self.run, self.source)
        except (VenueError, Unreadable, OSError, ValueError) as problem:
            log.warning("%s: the list of instruments can't be had now: %s", self.tag, problem)
            return []
        return sorted(i.symbol for i in found if i.trading and ("all" in wanted or i.base_asset in wanted))

    async def _keep(self, http: aiohttp.ClientSession, group: list[str]) -> None:
        """Keep a connection for a group of instruments up."""
        current: Connection | None = None
        failures = 0
        while True:
            connection = await self._connect(group)
            begun = time.monotonic()
            task = asyncio.create_task(self._run(http, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await connection.answered.wait()
            if not connection.ended:
                if current:
                    asyncio.get_running_loop().call_later(self.stream.delay + OVERLAP, current.end, REPLACED)
                current = connection
                await asyncio.wait([task], timeout=self.stream.lifetime)
                if not task.done():
                    continue  # its time is over: it goes on until the next is subscribed
            current = None if current is connection else current
            self.reconnections += 1
            failures = 0 if time.monotonic() - begun > HELD else failures + 1
            await asyncio.sleep(pause(failures) * random.uniform(0.75, 1.25))

    async def _connect(self, group: list[str]) -> Connection:
        async with self._turn:
            await asyncio.sleep(APART)
        self._number += 1
        name = f"{self.run.id}:{self.tag}:{self._number}"
        connection = Connection(self.source, self.stream, self.url, name, group, self._put)
        self.connections.append(connection)  # from now on it is told of new listings
        return connection

    async def end(self, seconds: float) -> None:
        """Close what is open; what isn't closed after some seconds is cut."""
        for connection in self.connections:
            connection.end(ENDED)
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=seconds)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _run(self, http: aiohttp.ClientSession, connection: Connection) -> None:
        try:
            await connection.run(http)
        finally:
            self.connections.remove(connection)
            for name in self.totals:
                self.totals[name] += connection.counts[name]
            self.last_event = max(self.last_event, connection.last_event)
            if connection.ended not in (ENDED, REPLACED):
                self.last_problem = connection.ended
                log.warning("%s (%s): %s; connecting again", self.tag, self.url, connection.ended)


def pause(failures: int) -> float:
    """Seconds before a reconnection after so many failures in a row, however many: a venue may be away for days."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(max(0, failures - 1), 30))


async def listed(run: Run, source: Source) -> list[Instrument]:
    """The instruments that a venue lists now. Raises `VenueError`, or `Unreadable` where a page of the list can't be read."""
    endpoint, found = source.endpoint("instruments"), dict[str, Instrument]()
    async with run.client(source) as client:
        for planned in endpoint.plan(Instrument("", ""), run.window):
            request: Request | None = planned
            while request:
                page = await client.fetch_page(request, endpoint)
                found.update((i.symbol, i) for i in read_instruments(source, page.body)[0])
                following = endpoint.next_page(request, page.content, page.rows)
                request = following if following != request else None
    return list(found.values())
