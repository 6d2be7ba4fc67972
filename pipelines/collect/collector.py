"""The collector: listeners, pollers, spool and sealing of one process, until it is told to end.

Each half second: every session's state is put and the spool is brought to the disk. Each `collect_seconds`, or where it has
grown: it is sealed into landing, by a thread, so that a slow storage stops nothing. What can't be sealed, because landing is full
or the storage doesn't answer, waits in the spool and is tried again; the spool itself stops growing at `MOST_SPOOLED`, and what
is lost then is noted as a gap. Several collectors of one market may run at once. Alone: `perps collect`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from pipelines.collect.listener import Listener
from pipelines.collect.polling import PAGES, Poller
from pipelines.collect.sealing import Sealer, tag
from pipelines.collect.session import now_ms, without_redirects
from pipelines.collect.spool import Spool
from pipelines.errors import LandingFull
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Source, Stream
from pipelines.sources import get_source

log = logging.getLogger("perplake.collect")

#: Bytes of a segment after which it is sealed before its time.
LARGEST_SEGMENT = 32_000_000
#: Bytes that may wait in the spool for a landing that can't be written.
MOST_SPOOLED = 2_000_000_000
#: Seconds within which connections are closed at the end, and what was heard is written and sealed.
CLOSING, LAST_SEAL = 1.5, 2.5
#: Seconds between two flushes: a frame is on the disk within a second, also where a flush takes its time.
FLUSHED_EACH = 0.5
#: Seconds between two lines of the log.
LOGGED_EACH = 60.0


def known_streams() -> dict[str, tuple[Source, Stream]]:
    """The streams of all sources, by tag."""
    sources = (get_source(name) for name, row in source_rows().items() if row.venue)
    return {tag(source, stream): (source, stream) for source in sources for stream in source.streams}


def polls(settings: Settings, source: Source) -> bool:
    """True if a source is asked for what its venue doesn't keep; vendors of data are not, who count each request."""
    return bool(settings.poll_seconds and source.polled and source_rows()[source.name].venue)


def root(settings: Settings) -> Path:
    """The folder of all collectors' spools of a market."""
    return settings.folder / "collect"


class Collector:
    """One collector of a run's sources. `listeners` are those of their streams, `pollers` those of their present."""

    def __init__(self, run: Run, sources: Sequence[Source]) -> None:
        self.run, self.settings = run, run.settings
        streams = known_streams() | {tag(s, stream): (s, stream) for s in sources for stream in s.streams}
        self.sealer = Sealer(run.settings, streams, run.origin)
        self.started = now_ms()
        self.spool = Spool(root(run.settings) / run.id)
        self.listeners = [
            Listener(run, source, stream, name := tag(source, stream), self._putter(name))
            for source in sources
            for stream in source.streams
        ]
        polled = [source for source in sources if polls(run.settings, source)]
        pools = Counter(source.limit_pool for source in polled)
        self.pollers = [Poller(run, source, self._putter(PAGES), pools[source.limit_pool]) for source in polled]
        self.sealed_pages = 0
        self.sealed_at = self.flushed_at = now_ms()
        self.problem = ""
        self._spooled = 0
        self._sealing: asyncio.Task[None] | None = None
        #: True at the end where a thread still waits for the disk or the storage.
        self.seals = False
        #: Threads of their own: a disk or a storage that doesn't answer must not keep the event loop from ending.
        self._disk, self._thread = (ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("flushing", "sealing"))
        self._flushing: asyncio.Future[None] | None = None

    def _putter(self, name: str) -> Any:
        def put(content: bytes) -> bool:
            return self._spooled < MOST_SPOOLED and self.spool.add(name, content)

        return put

    async def collect(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set; then what was heard is in landing, or in the spool, within five seconds."""
        await asyncio.to_thread(self._seal_abandoned)
        options: Any = {"trust_env": self.run.emulator is None, "headers": {"User-Agent": "perplake"}}
        async with aiohttp.ClientSession(trace_configs=[without_redirects()], **options) as http:
            tasks = [asyncio.create_task(listener.hear(http)) for listener in self.listeners]
            tasks += [asyncio.create_task(poller.poll()) for poller in self.pollers]
            try:
                await self._keep_spool(stop, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.gather(*(listener.end(CLOSING) for listener in self.listeners))
                await self._finish()

    async def _keep_spool(self, stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
        segment_begun = logged = time.monotonic()
        while not stop.is_set():
            for task in tasks:
                if task.done():
                    task.result()  # a listener or poller never ends: what it raises ends the collector
            begun = time.monotonic()
            for listener in self.listeners:
                listener.tell()
            if not await self._flushed(stop):
                return
            if begun - segment_begun >= self.settings.collect_seconds or self.spool.size > LARGEST_SEGMENT:
                segment_begun = begun
                self.spool.rotate()
                if self._sealing is None or self._sealing.done():
                    self._sealing = asyncio.create_task(self._seal())
            if begun - logged >= LOGGED_EACH:
                logged = begun
                log.info("%s", self.line())
            await _wait(stop, max(0.05, FLUSHED_EACH - (time.monotonic() - begun)))

    async def _flushed(self, stop: asyncio.Event) -> bool:
        """Flush; False where the collector is to end before that is done, as on a disk that doesn't answer."""
        self._flushing = asyncio.get_running_loop().run_in_executor(self._disk, self._flush)
        ends: asyncio.Future[Any] = asyncio.create_task(stop.wait())
        await asyncio.wait({self._flushing, ends}, return_when=asyncio.FIRST_COMPLETED)
        ends.cancel()
        if self._flushing.done():
            self._flushing.result()
        return self._flushing.done()

    def _flush(self) -> None:
        had_problem = self.spool.problem
        self.spool.flush()
        if self.spool.problem and self.spool.problem != had_problem:
            log.error("%s: free room on it; frames wait in memory, and are dropped where that is full", self.spool.problem)
        elif not self.spool.problem:
            self.flushed_at = now_ms()
        self._spooled = sum(file.stat().st_size for file in self.spool.ended()) + self.spool.size
        self._write_status()

    async def _seal(self) -> None:
        """Seal the files that have ended, the oldest first; one that can't be sealed stops no other."""
        problem = ""
        for file in self.spool.ended():
            try:
                self.sealed_pages += await asyncio.get_running_loop().run_in_executor(self._thread, self.sealer.seal, file)
            except Exception as each:
                known = isinstance(each, LandingFull | OSError | ValueError)
                problem = f"{file.name} can't be sealed: {each if known else repr(each)}"
                log.error("%s; it waits in %s and is tried again", problem, self.spool.folder)
            else:
                self.sealed_at = now_ms()
        self.problem = problem

    def _seal_abandoned(self) -> None:
        try:
            self.sealer.seal_abandoned(root(self.settings))
        except Exception as problem:
            self.problem = f"what a killed collector left can't be sealed: {problem}"
            log.error("%s; the next collector tries again", self.problem)

    async def _finish(self) -> None:
        """The last flush, and the last segment."""
        is_flushed = False
        try:
            async with asyncio.timeout(LAST_SEAL):
                if self._flushing:
                    await self._flushing
                await asyncio.get_running_loop().run_in_executor(self._disk, self._flush)
                is_flushed = True
                self.spool.rotate()
                if self._sealing:
                    await self._sealing
                await self._seal()
        except TimeoutError:
            self.seals = True
            log.warning("the last segment waits in %s: the next collector seals it", self.spool.folder)
        for thread in (self._disk, self._thread):
            thread.shutdown(wait=False, cancel_futures=True)
        if is_flushed:
            self.spool.close()
        log.info("%s; ended", self.line())

    # --- how it goes --------------------------------------------------------------------------------------------------------

    @property
    def is_healthy(self) -> bool:
        """True while all streams are heard, all sources are polled, the spool is written and landing takes the segments."""
        fresh = now_ms() - self.flushed_at < 10_000
        works = [*(listener.is_heard for listener in self.listeners), *(poller.is_polled for poller in self.pollers)]
        return fresh and not self.problem and all(works)

    def state(self) -> dict[str, Any]:
        """The state of the collector and of its streams, in plain values; times in milliseconds, UTC."""
        return {
            "run": self.run.id,
            "started": self.started,
            "at": now_ms(),
            "flushed_at": self.flushed_at,
            "sealed_at": self.sealed_at,
            "sealed_pages": self.sealed_pages,
            "spooled_bytes": self._spooled,
            "problem": self.spool.problem or self.problem,
            "healthy": self.is_healthy,
            "streams": {
                listener.tag: {
                    "heard": listener.is_heard,
                    "connections": len(listener.connections),
                    "symbols": listener.symbols,
                    "reconnections": listener.reconnections,
                    "last_event": listener.newest_event(),
                    "last_problem": listener.last_problem,
                    **{name: listener.count(name) for name in listener.totals},
                }
                for listener in self.listeners
            },
            "polls": {poller.source.name: poller.state() for poller in self.pollers},
        }

    def line(self) -> str:
        """The state in a line."""
        heard = sum(listener.is_heard for listener in self.listeners)
        counts = {name: sum(listener.count(name) for listener in self.listeners) for name in ("events", "messages", "dropped")}
        silent = [listener.tag for listener in self.listeners if not listener.is_heard]
        late = [poller.source.name for poller in self.pollers if not poller.is_polled]
        polled = f"{len(self.pollers) - len(late)} of {len(self.pollers)} sources polled"
        return (
            f"{polled}{' (not ' + ', '.join(late) + ')' if late else ''}; "
            f"{heard} of {len(self.listeners)} streams heard{' (not ' + ', '.join(silent) + ')' if silent else ''}; "
            f"{counts['events']:,} events in {counts['messages']:,} messages, {counts['dropped']:,} dropped; "
            f"{self.sealed_pages:,} pages in landing, {self._spooled / 1e6:.1f} MB in the spool"
        )

    def _write_status(self) -> None:
        file = self.spool.folder / "status.json"
        draft = file.with_suffix(".json.part")
        try:
            draft.write_bytes(msgspec.json.encode(self.state()))
            draft.replace(file)
        except OSError as problem:
            log.debug("no status: %s", problem)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
