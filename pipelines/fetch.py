"""Fetch: request a window from the chosen sources, all at the same time, and put every response into landing.

Each source is first asked for its bulk endpoints (instruments among them), then for the history of every chosen instrument,
endpoints with the shortest history first. A failed request does not stop the others; a block stops its source alone. Final
responses in landing are reused, which is also how a run continues after a killed one. Nothing but landing is written.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from operator import attrgetter
from statistics import median_low
from typing import Any, TypeVar

import msgspec

from pipelines.client import RETIRED, Client, Page
from pipelines.errors import AGAIN, Absent, Blocked, KeyRefused, LandingFull, NotFound, Rejected, Retired, Transient, VenueError
from pipelines.landing import COLLECTED, Entry, Scope, request_fingerprint
from pipelines.reading import Flaw, Reading, Unreadable, read, read_instruments, rows_left_out
from pipelines.records import known_names, values
from pipelines.registry import closed_at
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Endpoint, Instrument, Request, Source, Usage
from pipelines.symbols import base_asset
from pipelines.windows import DAY, HOUR, SETTLED_LATE_MS, Window, iso, to_datetime

log = logging.getLogger("perplake.fetch")

#: An endpoint is given up for this run after so many refused requests in a row, a source after so many without an answer.
GIVE_UP_AFTER = 8
#: How many past runs are searched for final responses.
RUNS_REMEMBERED = 30
#: Rows of the day before and after a window that tell whether one is left out at its end: what `_unusual` compares with, and one.
NEIGHBOURS = 4

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
Put = Callable[[Entry, bytes], None]


@dataclass
class FetchResult:
    """The outcome of one source: its pages, its failed requests, and warnings for the user."""

    source: str
    entries: list[Entry] = field(default_factory=list)
    failures: list[VenueError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)
    #: The first listing of the chosen instruments, in milliseconds, where the venue states all of them: nothing is due before it.
    begins: int | None = None
    #: Pages of a series that lost rows which no other page of this run has.
    incomplete: list[Entry] = field(default_factory=list)
    #: Windows of requests that were not answered whole, each with its endpoint.
    unfetched: list[tuple[str, Window]] = field(default_factory=list)
    reused: int = 0
    #: By limit: the greatest use that the venue stated.
    usage: dict[str, Usage] = field(default_factory=dict)
    #: By endpoint: the part of the run's window that was due, within the venue's history and the setting `liquidation_days`.
    due: dict[str, Window] = field(default_factory=dict)
    #: By endpoint: the times of rows outside the requested windows, in milliseconds. Load cuts these rows.
    times_outside: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    #: The time from the start of the fetch until this source was done.
    seconds: float = 0

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    def add(self, other: FetchResult) -> None:
        """Add the outcome of another venue of the same source."""
        self.entries += other.entries
        self.failures += other.failures
        self.warnings += other.warnings
        self.assets |= other.assets
        self.begins = min(self.begins, other.begins) if self.begins and other.begins else None
        self.incomplete += other.incomplete
        self.unfetched += other.unfetched
        self.due |= other.due
        self.reused += other.reused
        for name, times in other.times_outside.items():
            self.times_outside[name] += times
        self.usage |= other.usage

    @property
    def quarantined(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.problem]

    def whole_days(self, run: Run, endpoint: str = "") -> list[date]:
        """The UTC days of the run's window that are over and were answered whole, by one endpoint or by all that were asked.

        A day before any of the chosen instruments was listed is whole: there is nothing to ask.
        """
        settle = 0 if run.clock.frozen else int(run.settings.settle_minutes * 60_000)
        asked, broken = set[int](), set[int]()
        for entry in self.entries:
            if entry.window and endpoint in ("", entry.endpoint_name):
                days, unread = _day_numbers(Window(*entry.window)), entry.problem or entry.flaws
                asked.update(days)
                if unread or not entry.final:
                    broken.update(day for day in days if unread or (day + 1) * DAY + settle > entry.observed_at)
        broken.update(day for name, window in self.unfetched if endpoint in ("", name) for day in _day_numbers(window))
        whole = asked - broken | {day for day in run.window.day_numbers if (day + 1) * DAY <= (self.begins or 0)}
        ended = (day for day in run.window.day_numbers if (day + 1) * DAY <= run.clock.now())
        return [to_datetime(day * DAY).date() for day in ended if day in whole]

    def days_not_due(self, run: Run, endpoint: str) -> list[date]:
        """The days that were answered whole, and on which nothing was due of an endpoint, whose history is shorter."""
        due = _day_numbers(self.due[endpoint]) if endpoint in self.due else run.window.day_numbers
        not_due = {to_datetime(day * DAY).date() for day in run.window.day_numbers if day not in due}
        return [day for day in self.whole_days(run) if day in not_due] if not_due else []


def _day_numbers(window: Window) -> range:
    """The UTC days of a requested window; the settlement that closes a day, requested a moment after it, is of that day."""
    start = window.start - (window.end - window.start <= SETTLED_LATE_MS)
    return Window(start, max(start, window.end - SETTLED_LATE_MS)).day_numbers


async def fetch(
    run: Run,
    sources: Sequence[Source],
    progress: Progress = lambda source, done, total: None,
    remembered: Mapping[str, Entry] | None = None,
) -> list[FetchResult]:
    """Fetch all sources at the same time. Raises `LandingFull`; every other problem is in the results.

    `remembered`: what `final_entries` found, where it was called before.
    """
    if not sources:
        return []
    gc.freeze()  # modules outlive the fetch: to search them for cycles again and again takes a seventh of its time
    remembered = final_entries(run, sources) if remembered is None else remembered
    jobs = [_SourceFetch(run, source, remembered, progress) for source in sources]
    named = {name: getattr(run.settings, name) for name in ("ccxt_venues", "vendor_venues", "subgraphs")}
    window = (run.window.start, run.window.end)
    run.landing.note_scope(Scope(sorted({source.name for source in sources}), run.settings.assets, **named, window=window))
    try:
        await together(job.fetch() for job in jobs)
    finally:
        run.landing.flush()
    results: dict[str, FetchResult] = {}
    jobs[0].result.warnings += run.landing.damage
    for job in jobs:
        if (known := results.setdefault(job.source.name, job.result)) is not job.result:
            known.add(job.result)
    return list(results.values())


async def plan(
    run: Run, sources: Sequence[Source], remembered: Mapping[str, Entry]
) -> list[tuple[FetchResult, dict[str, list[tuple[Request, bool]]]]]:
    """By source, in order: the requests that a fetch of its series would begin with, by endpoint, and whether landing has each.

    Lists of instruments and of archives are requested, and put into landing. Problems are in the results. `remembered`: what
    `final_entries` found.
    """
    jobs = [_SourceFetch(run, source, remembered, lambda source, done, total: None) for source in sources]
    try:
        planned = await together(job.plan() for job in jobs)
    finally:
        run.landing.flush()
    return [(job.result, requests) for job, requests in zip(jobs, planned, strict=True)]


async def poll(
    run: Run, source: Source, instruments: Sequence[Instrument], put: Put, turns: Mapping[str, Sequence[Instrument]]
) -> FetchResult:
    """Fetch the present of a source's instruments, with `run.started` as the time of observation of them all.

    `put` takes the pages in landing's place, and what it raises is raised. Of lists of all instruments these alone are loaded;
    `turns` are those that an endpoint is asked about, where it is asked by instrument.
    """
    job = _SourceFetch(run, source, {}, lambda source, done, total: None, put)
    await together([job.poll(instruments, turns)])
    return job.result


async def together(waited: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of coroutines that run at the same time. The first error stops the others, and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in waited]
    except* Exception as several:
        raise _first(several) from None
    return [task.result() for task in tasks]


def _first(several: BaseException) -> BaseException:
    while isinstance(several, BaseExceptionGroup):
        several = several.exceptions[0]
    return several


def final_entries(run: Run, sources: Sequence[Source]) -> dict[str, Entry]:
    """Final responses of earlier runs, by the fingerprint of their request.

    Not those whose bytes came for several instruments: one may have been sent another's. Of the runs before the last one, only
    those that asked for times of this window are read: the manifest of years takes seconds, and a quarter of a gigabyte.
    """
    if run.settings.refetch:
        return {}
    names = {source.name for source in sources}
    runs = [each for each in run.landing.runs() if not each.endswith(COLLECTED)][-RUNS_REMEMBERED:]
    runs = [each for each in runs if each == runs[-1] or run.landing.may_have_asked(each, run.window)]
    found = {
        _fingerprint(e): e
        for e in run.landing.iterate(runs)
        if e.source in names and e.final and not e.problem and e.market == run.settings.market
    }
    contexts: defaultdict[tuple[str, str, str], set[tuple[str, ...]]] = defaultdict(set)
    for e in found.values():
        if not e.empty:
            contexts[e.source, e.endpoint_name, e.sha256].add(tuple(e.context.values()))
    usual = {(source.name, e.name) for source in sources for e in source.endpoints if e.allow_identical_pages}
    doubtful = {key for key, several in contexts.items() if len(several) > 1 and key[:2] not in usual}
    return {key: e for key, e in found.items() if (e.source, e.endpoint_name, e.sha256) not in doubtful}


def _fingerprint(entry: Entry) -> str:
    path = entry.path_label if entry.body is None else entry.path_label.partition(" ")[0]
    window = Window(*entry.window) if entry.window else None
    request = Request(path, entry.params, entry.body, window=window, clip_end=entry.clip_end)
    return request_fingerprint(entry.source, entry.endpoint_name, request, None if entry.window else entry.observed_at)


def planned_requests(
    endpoint: Endpoint, instruments: Sequence[Instrument], window: Window, all_assets: bool
) -> list[tuple[Instrument, Request]]:
    """The requests of an endpoint for a window, each with its instrument.

    A window is cut to the instrument's life, and the present is requested of what trades. Where all assets are wanted and the
    venue answers for all instruments at once by fewer requests, these are made.
    """
    if endpoint.only_trading or (endpoint.snapshot and not endpoint.bulk):
        instruments = [i for i in instruments if i.trading]
    parts = [(i, window if endpoint.snapshot else i.life(window)) for i in instruments]
    planned = [(i, request) for i, part in parts if part or endpoint.snapshot for request in _requests(endpoint, i, part)]
    if endpoint.plan_all and all_assets and not endpoint.snapshot:
        every = Instrument("", "")
        together = [(every, request) for request in endpoint.plan_all(every, window)]
        return together if len(together) < len(planned) else planned
    return planned


def _requests(endpoint: Endpoint, instrument: Instrument, window: Window) -> list[Request]:
    """The requests for a window. Every request of a series has one, so that its answer is final for no more than that."""
    requests = [replace(r, instrument=instrument.symbol) for r in endpoint.plan(instrument, window)]
    if endpoint.snapshot:
        return requests
    return [r if r.window else replace(r, window=window, clip_start=True, clip_end=True) for r in requests]


class _SourceFetch:
    """One source in one run."""

    def __init__(
        self, run: Run, source: Source, remembered: Mapping[str, Entry], progress: Progress, put: Put | None = None
    ) -> None:
        self.run, self.source, self.remembered, self.progress = run, source, remembered, progress
        self._put = put
        self.result = FetchResult(source.name)
        self._stopped = False
        #: Failed requests in a row: unanswered ones of the source (under ""), refused ones by endpoint.
        self._failed_in_a_row: Counter[str] = Counter()
        self._answered: set[str] = set()
        #: By endpoint: the number of requests, and the windows in which not a single row came, each with its instrument.
        self._planned: Counter[str] = Counter()
        self._without_rows: defaultdict[str, list[tuple[str, Window]]] = defaultdict(list)
        #: By endpoint: what settlements that came leave out, each with its instrument.
        self._holes: defaultdict[str, list[tuple[str, Window]]] = defaultdict(list)
        #: By instrument: the first and the last time of its rows, of all endpoints.
        self._rows: dict[str, Window] = {}
        self._given_up: dict[str, VenueError] = {}
        self._not_found: defaultdict[str, list[VenueError]] = defaultdict(list)
        self._done = self._total = 0
        #: By the names of limits: held while the requests of an endpoint are begun.
        self._beginning: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Of a poll, the symbols that are asked for.
        self._only: tuple[str, ...] = ()

    async def fetch(self) -> None:
        begun = time.monotonic()
        async with self.run.client(self.source) as client:
            client.instruments_by_body |= self._known_bodies()
            bulk = [endpoint for endpoint in self.source.endpoints if endpoint.bulk]
            for endpoint in sorted(bulk, key=lambda endpoint: endpoint.name != "instruments"):
                await self._fetch_endpoint(client, endpoint, [Instrument("", "")])
            instruments = self._chosen_instruments(client)
            others = [endpoint for endpoint in self.source.endpoints if not endpoint.bulk]
            async with asyncio.TaskGroup() as group:
                for endpoint in sorted(others, key=lambda endpoint: (not endpoint.snapshot, endpoint.history_days or 1e9)):
                    group.create_task(self._fetch_endpoint(client, endpoint, instruments))
        self.result.warnings += client.warnings
        for name, times in self.result.times_outside.items():
            example = f"such as one of {iso(times[0])}"
            self._warn_once(f"{self.source.name} {name}: {len(times)} rows outside the requested windows are left out, {example}")
        for name, pairs in client.alike.items():
            message = f"{len(pairs)} answers are byte for byte those about other instruments, such as {pairs[0]}"
            self._warn_once(f"{self.source.name} {name}: {message}; the next run requests them again")
        self._warn_without_rows(instruments)
        self.result.usage = client.usage
        self.result.seconds = time.monotonic() - begun

    def _known_bodies(self) -> dict[tuple[str, str], str]:
        """By endpoint and hash: the instrument about which a remembered body came."""
        keys = {endpoint.name: endpoint.key[0] for endpoint in self.source.endpoints}
        entries = (e for e in self.remembered.values() if e.source == self.source.name and not e.empty)
        return {
            (e.endpoint_name, e.sha256): e.context[keys[e.endpoint_name]]
            for e in entries
            if keys.get(e.endpoint_name) in e.context
        }

    def _warn_without_rows(self, instruments: Sequence[Instrument]) -> None:
        """Note the windows in which not a single row came, and settlements that others leave out.

        Rows are due where the instrument has others of that time. What is listed as trading and has none of any dataset may be
        suspended or new, and nothing is due of what does not trade.
        """
        if self.run.settings.recording:  # the same rows when it is asked again
            return
        for name, windows in self._without_rows.items():
            due = [symbol for symbol, window in windows if (rows := self._rows.get(symbol)) and rows.meets(window)]
            if due:
                message = f"rows are due and none came for {len(due)} of {self._planned[name]} requests, such as {min(due)}"
                self._warn_once(f"{self.source.name} {name}: {message}; the next run requests them again")
        for name, holes in self._holes.items():
            symbol, hole = min(holes, key=lambda each: each[0])
            message = f"rows are left out after others came, in {len(holes)} of {self._planned[name]} requests, such as {symbol}"
            self._warn_once(f"{self.source.name} {name}: {message} in {hole}; the next run requests them again")
        asked = {symbol for windows in self._without_rows.values() for symbol, _ in windows}
        if bare := sorted(i.symbol for i in instruments if i.trading and i.symbol in asked and i.symbol not in self._rows):
            message = f"no dataset has a row of {len(bare)} of {len(instruments)} instruments, such as {bare[0]}"
            self._warn_once(f"{self.source.name}: {message}, which may be suspended or new; the next run requests them again")

    async def plan(self) -> dict[str, list[tuple[Request, bool]]]:
        """The requests for each series, and whether landing has their answers. The list of instruments is requested."""
        planned: dict[str, list[tuple[Request, bool]]] = {}
        async with self.run.client(self.source) as client:
            for endpoint in self.source.endpoints:
                if endpoint.name == "instruments":
                    await self._fetch_endpoint(client, endpoint, [Instrument("", "")])
            instruments = self._chosen_instruments(client)
            for endpoint in self.source.endpoints:
                if not endpoint.snapshot and (window := self.window(endpoint)):
                    about = [Instrument("", "")] if endpoint.bulk else instruments
                    requests = await self._requests_for(client, endpoint, about, window)
                    planned[endpoint.name] = [(request, self._known(endpoint, request) is not None) for _, request in requests]
        return planned

    def _known(self, endpoint: Endpoint, request: Request) -> Entry | None:
        """The final response of an earlier run to a request. Load cuts a page to its entry's window: one of less is none.

        A file of a day is the same, whatever part of the day it was asked for.
        """
        at = None if request.window else self.run.started
        entry = self.remembered.get(request_fingerprint(self.source.name, endpoint.name, request, at))
        if entry and entry.window and request.window and request.window.without([Window(*entry.window)]):
            return None
        return entry

    async def poll(self, instruments: Sequence[Instrument], turns: Mapping[str, Sequence[Instrument]]) -> None:
        """Request the present of these instruments, all endpoints at the same time."""
        begun = time.monotonic()
        self._only = tuple(instrument.symbol for instrument in instruments)
        async with self.run.client(self.source) as client, asyncio.TaskGroup() as group:
            for endpoint in self.source.polled:
                about = [Instrument("", "")] if endpoint.bulk else list(turns.get(endpoint.name, ()))
                group.create_task(self._fetch_endpoint(client, endpoint, about))
        self.result.warnings += client.warnings
        self.result.seconds = time.monotonic() - begun

    def _chosen_instruments(self, client: Client) -> list[Instrument]:
        wanted = set(self.run.settings.assets)
        if self.source.by_asset:
            assets = Settings.model_fields["assets"].default if "all" in wanted else self.run.settings.assets
            return [Instrument(asset, asset) for asset in assets]
        if not self.source.parse_instruments:
            return []
        listed: dict[str, Instrument] = {}
        left_out: list[Any] = []
        for entry in self.result.entries:
            if entry.endpoint_name == "instruments" and not entry.problem:
                try:
                    page, flaws = read_instruments(self.source, body := self.run.landing.body(entry))
                    left_out += rows_left_out(self.source.endpoint("instruments"), body, [*entry.flaws, *flaws])
                except (OSError, Unreadable) as problem:
                    self._warn_once(f"{self.source.name} {entry.path_label}: {problem}")
                    continue
                listed.update((i.symbol, i) for i in page)
                self._warn_unread(entry.path_label, flaws)
        if not listed:
            self._stop(
                Transient(self.source.name, f"instruments of {self.source.venue}", "the list could not be read", AGAIN), client
            )
        chosen = [i for i in listed.values() if "all" in wanted or i.base_asset in wanted]
        self.result.assets = {i.base_asset for i in chosen}
        self.result.begins = min((i.listed_at or 0 for i in chosen), default=None)
        self._note_lost(wanted, left_out)
        return chosen

    def _note_lost(self, wanted: set[str], left_out: Sequence[Any]) -> None:
        """Fail where a row of the list that can't be read is of a wanted asset that no other row has, or was requested before.

        Other rows of that kind cost nothing that was asked for, and are warnings.
        """
        if not left_out:
            return
        text = json.dumps(left_out, default=repr)  # it may have what JSON doesn't
        words = {base_asset(part) for word in re.findall(r"\w+", text) for part in (word, *word.split("_"))}
        requested = {value for e in self.remembered.values() if e.source == self.source.name for value in e.context.values()}
        lost = ((wanted - {"all"} - self.result.assets) & words) | {name for name in requested if f'"{name}"' in text}
        if lost:
            message = f"the rows about {', '.join(sorted(lost))} can't be read, so that nothing of them is requested"
            problem = Transient(self.source.name, f"instruments of {self.source.venue}", message, AGAIN)
            self.result.failures.append(problem)
            log.error("%s", problem)
            self.result.unfetched += [(each.name, w) for each in self.source.endpoints if (w := self.window(each))]

    def window(self, endpoint: Endpoint) -> Window:
        """The part of the run's window that is requested from this endpoint: before now, and within the venue's history.

        Events are requested for the last `liquidation_days` of that part alone, funding with the settlement at the window's end.
        """
        now = self.run.clock.now()
        window = self.run.window
        if endpoint.name == "funding_rates":
            window = Window(window.start, window.end + SETTLED_LATE_MS)
        window = window.before(min(now, closed_at(self.source.venue) or now))
        if endpoint.is_event:
            window = window.after((window.end - int(self.run.settings.liquidation_days * DAY)) // DAY * DAY)
        return self.run.kept(endpoint, window)

    async def _fetch_endpoint(self, client: Client, endpoint: Endpoint, instruments: list[Instrument]) -> None:
        window = self.window(endpoint)
        if not endpoint.snapshot:
            self.result.due[endpoint.name] = window
            if not window:
                return
        planned: list[tuple[Instrument, Request]] = []
        try:
            planned = await self._requests_for(client, endpoint, instruments, window)
        except Exception as problem:
            self._give_up(endpoint, self._unexpected(endpoint.name, "the requests can't be planned", problem))
            self.result.unfetched.append((endpoint.name, window))
        self._total += len(planned)
        self._planned[endpoint.name] = len(planned)
        await self._fetch_windows(client, endpoint, planned)
        self._settle_not_found(endpoint)
        answers = [entry for entry in self.result.entries if entry.endpoint_name == endpoint.name]
        if answers and not endpoint.is_event and all(entry.empty for entry in answers):
            if not endpoint.snapshot:
                self.result.unfetched.append((endpoint.name, window))  # rows are due, and not a single one came
            elif endpoint.name != "instruments":
                self._warn_once(f"{self.source.name} {endpoint.name}: the answers have no row; nothing of it is known of now")

    async def _requests_for(
        self, client: Client, endpoint: Endpoint, instruments: Sequence[Instrument], window: Window
    ) -> list[tuple[Instrument, Request]]:
        """The requests of an endpoint for a window, each with its instrument: of an archive those for what it lists."""
        if endpoint.listed is None:
            had = self.run.had.get((self.source.name, endpoint.name), {})
            others = [instrument for instrument in instruments if instrument.symbol not in had]
            together = planned_requests(endpoint, others, window, "all" in self.run.settings.assets and not had)
            parts = [(i, part) for i in instruments if i.symbol in had for part in window.without(had[i.symbol])]
            return together + [each for i, part in parts for each in planned_requests(endpoint, [i], part, False)]
        listing = [endpoint.listed(client, instrument, window) for instrument in instruments]
        listed = await asyncio.gather(*listing, return_exceptions=True)
        planned: list[tuple[Instrument, Request]] = []
        missing: list[tuple[Instrument, Window]] = []
        for instrument, found in zip(instruments, listed, strict=True):
            if isinstance(found, VenueError):
                self._note_failure(client, endpoint, found)
                self.result.unfetched.append((endpoint.name, window))
            elif isinstance(found, BaseException):
                raise found
            else:
                planned += [(instrument, request) for request in found.requests]
                missing += [(instrument, each) for each in found.missing]
        if missing:
            first, gap = missing[0]
            days = sum((each.end - each.start) // DAY for _, each in missing)
            about = f" of {first.symbol}" if first.symbol else ""
            day = gap if gap.start % DAY else gap.days[0]  # of another clock than UTC's: what it is of UTC
            message = f"the archive lacks {days} days between others, such as {day}{about}"
            self._warn_once(f"{self.source.name} {endpoint.name}: {message}")
        return planned

    async def _fetch_windows(self, client: Client, endpoint: Endpoint, planned: list[tuple[Instrument, Request]]) -> None:
        """Planned requests, in their order; at the end `planned` is empty.

        Few are begun at the same time: one that waits takes 10 kB. Endpoints by the same limits begin theirs one after another.
        """
        planned.reverse()
        room = asyncio.Semaphore(2 * self.source.concurrency)
        limits = tuple(planned[-1][1].weights) if planned else ()
        async with asyncio.TaskGroup() as group, self._beginning[limits]:
            while planned:
                await room.acquire()
                window = group.create_task(self._fetch_window(client, endpoint, *planned.pop()))
                window.add_done_callback(lambda _: room.release())

    async def _fetch_window(self, client: Client, endpoint: Endpoint, instrument: Instrument, planned: Request) -> None:
        """The pages of a planned request, then what they left out of its window, for as long as that brings rows.

        A page that a venue cut shorter than it was asked leaves hours out; so do hours without a trade, which are requested once
        more and stay missing. So are rows that can't be read.
        """
        chain = _Chain(endpoint, planned)
        waiting = [planned]
        while waiting and not self._stopped and endpoint.name not in self._given_up:
            chain.begin_round()
            try:
                for request in waiting:
                    await self._fetch_pages(client, endpoint, instrument, request, chain)
            except VenueError as problem:
                self._note_failure(client, endpoint, problem)
                break
            except (LandingFull, OSError):
                raise
            except Exception as problem:  # nothing that a venue sends may end the run
                log.exception("%s %s", self.source.name, planned.path_label)
                unexpected = self._unexpected(planned.path_label, "the answer could not be handled", problem)
                self._note_failure(client, endpoint, unexpected)
                break
            missing = chain.missing(self.run.clock.now(), self._settle_ms)
            waiting = [r for r in _requests(endpoint, instrument, missing) if chain.may_request(r)] if missing else []
            # Where a venue has no row there, it may send others. The same request has all rows again, and may correct any.
            waiting = [planned if chain.is_planned(r) else replace(r, clip_start=True, clip_end=True) for r in waiting]
        else:
            if not self._stopped and chain.lacks_all_rows(self.run.clock.now()):
                assert planned.window
                self._without_rows[endpoint.name].append((planned.instrument, planned.window))
            elif instrument.trading and (hole := chain.left_out(self.run.clock.now(), self._settle_ms)):
                self._holes[endpoint.name].append((planned.instrument, hole))
        if seen := chain.seen:
            before = self._rows.get(planned.instrument, seen)
            self._rows[planned.instrument] = Window(min(before.start, seen.start), max(before.end, seen.end))
        if not chain.mends_incomplete(self.run.clock.now()):
            self.result.incomplete += {entry.page: entry for entry in chain.incomplete}.values()
        if planned.window and (waiting or self._stopped):
            self.result.unfetched.append((endpoint.name, planned.window))
        self._done += 1
        self.progress(self.source.name, self._done, self._total)

    async def _fetch_pages(
        self, client: Client, endpoint: Endpoint, instrument: Instrument, request: Request, chain: _Chain
    ) -> None:
        """The page of a request and the pages that follow it. Raises `VenueError`."""

        def when_leaving(request: Request) -> Request:
            """The request without what the venue has forgotten since it was planned."""
            if problem := self._given_up.get(endpoint.name) or self.run.refused.get(self.source.name):
                raise problem.with_traceback(None)
            if not first or not request.window or (kept := self.run.kept(endpoint, request.window)) == request.window:
                return request
            left = _requests(endpoint, instrument, kept)
            if not left:
                message = f"{request.window} has left the venue's history"
                raise Absent(self.source.name, request.path_label, message, "Its hours can't be had any more")
            return replace(left[0], clip_start=request.clip_start, clip_end=request.clip_end)

        first = True
        chain.begin()
        next_request: Request | None = request
        while next_request and not self._stopped:
            next_request = await self._fetch_page(client, endpoint, next_request, when_leaving, chain)
            first = False
            self._answered.add(endpoint.name)
            self._failed_in_a_row[""] = self._failed_in_a_row[endpoint.name] = 0

    def _note_failure(self, client: Client, endpoint: Endpoint, problem: VenueError) -> None:
        """Note a failed request: what it means for the endpoint and for the source depends on its kind."""
        if self._stopped or problem is self._given_up.get(endpoint.name):
            return
        match problem:
            case Absent():
                self._warn_once(str(problem))
            case Blocked():
                if isinstance(problem, KeyRefused):
                    self.run.refuse_key(self.source, problem)
                self._stop(problem, client)
            case Retired():
                self._give_up(endpoint, problem)
            case NotFound():
                self._not_found[endpoint.name].append(problem)
                if endpoint.name not in self._answered and len(self._not_found[endpoint.name]) >= GIVE_UP_AFTER:
                    self._given_up[endpoint.name] = problem
            case _:
                self.result.failures.append(problem)
                log.error("%s", problem)
                self._count_failure(client, endpoint, problem)

    def _count_failure(self, client: Client, endpoint: Endpoint, problem: VenueError) -> None:
        """Give the endpoint up after many refusals in a row, the source after many requests in a row without an answer."""
        counted = endpoint.name if isinstance(problem, Rejected) else ""
        self._failed_in_a_row[counted] += 1
        if self._failed_in_a_row[counted] >= GIVE_UP_AFTER:
            message = f"{GIVE_UP_AFTER} requests in a row to {self.source.venue} "
            if counted:
                self._give_up(endpoint, Rejected(self.source.name, problem.path_label, f"{message}were refused", problem.remedy))
            else:
                self._stop(Blocked(self.source.name, "", f"{message}failed", AGAIN), client)

    def _give_up(self, endpoint: Endpoint, problem: VenueError) -> None:
        """Send nothing more to an endpoint in this run; the source's others go on."""
        if endpoint.name not in self._given_up:
            self._given_up[endpoint.name] = problem
            self.result.failures.append(problem)
            log.error("%s", problem)

    def _settle_not_found(self, endpoint: Endpoint) -> None:
        """What HTTP 404 meant: a retired endpoint where nothing else was ever answered, else instruments that are not known."""
        if problems := self._not_found.pop(endpoint.name, []):
            first = problems[0]
            if endpoint.name not in self._answered:
                message = f"the endpoint is retired, or its path has changed ({first.problem})"
                problems = [Retired(self.source.name, first.path_label, message, RETIRED)]
            self.result.failures += problems
            log.error("%s", "; ".join(map(str, problems[:3])))

    async def _fetch_page(
        self,
        client: Client,
        endpoint: Endpoint,
        request: Request,
        when_leaving: Callable[[Request], Request],
        chain: _Chain,
    ) -> Request | None:
        """One page, from landing or from the venue; returns the request for the next page. Raises `VenueError`."""
        entry = None if chain.asks_anew else self._known(endpoint, request)
        if entry and (reading := self._reread(endpoint, entry, chain)):
            chain.add_request(request, sent=False)
            self.run.landing.add_entry(entry)
            self.result.entries.append(entry)
            self.result.reused += 1
            chain.add_times(values(reading.rows, endpoint.time) if endpoint.time else [])
            chain.known_whole |= entry.last and entry.whole
            return None if entry.last else self._next(endpoint, request, reading.content, reading.rows)
        chain.add_request(request)
        page = await client.fetch_page(request, endpoint, when_leaving)
        request = page.request or request
        chain.add_times(page.times)
        next_request, problem = None, None
        if not page.problem:
            try:
                # A row that was left out counts for the length of its page.
                sent = [*list(page.rows[:1]) * len(page.flaws), *page.rows] if page.flaws else page.rows
                next_request = self._next(endpoint, request, page.content, sent)
                chain.refuse_loop(self.source.name, request, next_request, page, self.run.settings.chain_max_pages)
            except VenueError as each:  # the page itself is good
                next_request, problem = None, each
        last = next_request is None and problem is None
        entry = self._entry(endpoint, request, page, chain, last)
        if self._put:
            await asyncio.to_thread(self._put, entry, page.body)
        elif endpoint.is_file or not self.run.landing.is_local:
            await asyncio.to_thread(self._keep, endpoint, entry, page)
        else:  # a thread would wait for the interpreter's lock longer than a small page takes
            self._keep(endpoint, entry, page)
        self.result.entries.append(entry)
        if entry.flaws and entry.window:
            chain.add_incomplete(entry)
        if page.times_outside:
            self.result.times_outside[endpoint.name] += page.times_outside
        if page.problem:
            label = f"{self.source.name} {request.path_label}"
            log.error("%s: quarantined, %s = %s: %s", label, page.field, page.value, page.problem)
        self._warn_unread(request.path_label, page.flaws)
        if not page.problem and not page.flaws and (unknown := _unknown_fields(endpoint, page)):
            self._warn_once(f"{self.source.name} {request.path_label}: new fields, not read: {', '.join(sorted(unknown))}")
        if problem:
            raise problem
        return next_request

    def _keep(self, endpoint: Endpoint, entry: Entry, page: Page) -> None:
        self.run.landing.put(entry, page.body)
        self.run.decoded.give(endpoint, entry, page.rows)

    def _reread(self, endpoint: Endpoint, entry: Entry, chain: _Chain) -> Reading | None:
        """A remembered page; without its rows where nothing depends on them. None where it can't be read any more."""
        try:
            if entry.last and (entry.whole or not chain.has_expected_rows):
                self.run.landing.check(entry)
                return Reading(None, [])
            return read(endpoint, self.run.landing.body(entry))
        except (OSError, Unreadable) as problem:
            self._warn_once(f"{entry.source} {entry.path_label}: requested again, because {problem}")
            return None

    def _next(self, endpoint: Endpoint, request: Request, content: Any, rows: Sequence[Any]) -> Request | None:
        """The request for the next page. Raises `Transient` where the source's own rule fails on this page."""
        try:
            return endpoint.next_page(request, content, rows)
        except Exception as problem:
            raise self._unexpected(request.path_label, "the next page can't be worked out", problem) from problem

    def _unexpected(self, label: str, message: str, problem: Exception) -> VenueError:
        return Transient(self.source.name, label, f"{message} ({type(problem).__name__}: {problem})", AGAIN)

    def _warn_unread(self, label: str, flaws: Sequence[Flaw]) -> None:
        """Note what could not be read in a page, the first few by name."""
        for flaw in flaws[:3]:
            self._warn_once(f"{self.source.name} {label}: in quarantine, {flaw.place} = {flaw.value}: {flaw.problem}")
        if len(flaws) > 3:
            self._warn_once(f"{self.source.name} {label}: {len(flaws) - 3} more places of a page are in quarantine")

    @property
    def _settle_ms(self) -> int:
        return 0 if self.run.clock.frozen else int(self.run.settings.settle_minutes * 60_000)

    def _entry(self, endpoint: Endpoint, request: Request, page: Page, chain: _Chain, last: bool) -> Entry:
        run = self.run
        over = request.window.end + self._settle_ms <= page.observed_at if request.window else run.clock.frozen
        empty = not page.problem and endpoint.is_empty(page.content, page.rows)
        unread = bool(page.problem or page.flaws)
        silent = over and last and not unread and chain.is_silent(empty)
        return Entry(
            run=run.id,
            source=self.source.name,
            endpoint_name=endpoint.name,
            market=run.settings.market,
            method=request.method,
            url=page.url,
            path_label=request.path_label,
            context=dict(request.context),
            window=(request.window.start, request.window.end) if request.window else None,
            observed_at=run.started if endpoint.snapshot else page.observed_at,
            status=page.status,
            sha256=page.sha256,
            size=len(page.body),
            params=dict(request.params),
            body=dict(request.body) if request.body else None,
            origin=(page.origin if run.emulator else "") or run.origin,  # no venue decides it
            final=over and not unread and (not empty or (silent and bool(chain.times))),
            last=last,
            whole=last and not unread and chain.is_whole(page.observed_at, self._settle_ms),
            silent=request.instrument if silent else "",
            clip_end=request.clip_end,
            empty=empty,
            problem=page.problem,
            field=page.field,
            value=page.value,
            flaws=tuple(page.flaws),
            only=self._only if endpoint.bulk else (),
            place=next(run.places),
        )

    def _stop(self, problem: VenueError, client: Client) -> None:
        """Send nothing more to the source in this run."""
        client.stop(problem)
        if not self._stopped:
            self._stopped = True
            self.result.failures.append(problem)
            log.error("%s", problem)

    def _warn_once(self, line: str) -> None:
        if line not in self.result.warnings:
            self.result.warnings.append(line)
            log.warning("%s", line)


class _Chain:
    """The pages that answer a planned request: the times of their rows, and guards against loops."""

    def __init__(self, endpoint: Endpoint, planned: Request) -> None:
        self.endpoint, self.planned = endpoint, planned
        self.times: set[int] = set()
        #: Of rows outside of the window, the times of those that are nearest to it.
        self._before: list[int] = []
        self._after: list[int] = []
        self.incomplete: list[Entry] = []
        #: How many rows could not be read, and did not come when the window was requested again.
        self._lost = 0
        self._repeated = False
        #: A page from landing says that nothing is missing; the rows of such a page are not read again.
        self.known_whole = False
        self._rounds = self._sent = 0
        #: What earlier runs were answered leaves a hole, so it is not read again.
        self.asks_anew = False
        #: The number of rows before this round; the numbers of rows and of incomplete pages before this row of pages.
        self._before_round = 0
        self._before_pages = (0, 0)
        self._asked: Counter[bytes] = Counter()
        self._asked_in_a_row: set[bytes] = set()
        self._seen: set[int] = set()
        self._pages = 0

    @property
    def _step(self) -> int | None:
        """The distance of two rows where it is known before, in milliseconds: of bars, and of points at regular times."""
        return self.endpoint.bar or self.endpoint.every

    @property
    def has_expected_rows(self) -> bool:
        """True if the rows of the window are expected at regular times: not events, and of one instrument."""
        return bool(self.endpoint.time and self.planned.window and not self.endpoint.is_event and self.planned.instrument)

    def add_times(self, of_rows: Sequence[int]) -> None:
        """Add the times of a page's rows, in milliseconds."""
        if self.has_expected_rows:
            assert self.planned.window
            window, had = self.planned.window, len(self.times)
            times = set(map(int, of_rows))
            inside = times if times and min(times) in window and max(times) in window else {t for t in times if t in window}
            self.times |= inside
            if not self._step:
                outside = times - inside
                before = (time for time in outside if window.start - DAY <= time < window.start)
                self._before = sorted({*self._before, *before})[-NEIGHBOURS:]
                after = (time for time in outside if window.end <= time < window.end + DAY)
                self._after = sorted({*self._after, *after})[:NEIGHBOURS]
            if self._repeated:
                self._lost = max(0, self._lost - (len(self.times) - had))

    def add_incomplete(self, entry: Entry) -> None:
        self.incomplete.append(entry)
        if self.has_expected_rows and not self._step:
            self._lost += len(entry.flaws)

    def is_whole(self, now: int, settle: int) -> bool:
        """True if the pages leave nothing out of the window, and have as many more rows as single pages lost."""
        return not self._lost and self.hole(now, settle) is None

    def mends_incomplete(self, now: int) -> bool:
        """True if the rows that single pages lost came, or were none of the window's."""
        return bool(self.times) and (self._has_all(now) or (not self._step and not self._lost))

    def _has_all(self, now: int) -> bool:
        """True if no row can be missing: all bars came, or rows equally far apart, and fewer were lost than these have gaps."""
        hole = self.hole(now, 0)
        if hole or self._step:
            return hole is None
        gaps = [after - before for before, after in pairwise(sorted(self.times))]
        return len(gaps) > self._lost and max(gaps) - min(gaps) <= SETTLED_LATE_MS

    @property
    def seen(self) -> Window | None:
        """From the first to the last row that came, or the window that an earlier run read as a whole."""
        if self.times:
            return Window(min(self.times), max(self.times) + 1)
        return self.planned.window if self.known_whole else None

    def lacks_all_rows(self, now: int) -> bool:
        """True if not a single row came, though the window's past is longer than eight hours."""
        window = self.planned.window
        if not window or self.times or self.known_whole or not self.has_expected_rows:
            return False
        return min(window.end, now) - window.start > 8 * HOUR

    def left_out(self, now: int, settle: int) -> Window | None:
        """The hull of what rows at no regular times leave out after the first of them; before it, there may have been none."""
        hole = None if self.known_whole or self._step or not self.has_expected_rows else self.hole(now, settle)
        return hole.after(min([*self._before, *self.times])) or None if hole else None

    def is_silent(self, empty: bool) -> bool:
        """True if bars or points that were missing were requested again, and this row of pages had none of them.

        The client requests an `empty` page again, so a window without any was requested twice in its first round.
        """
        again = bool(self._step) and self.has_expected_rows and (self._rounds > 1 or empty)
        return again and self._before_pages == (len(self.times), len(self.incomplete))

    def begin_round(self) -> None:
        """Begin the requests for what the ones before left out."""
        self._rounds += 1
        self._before_round, self._sent = len(self.times), 0

    def begin(self) -> None:
        """Begin a row of pages that follow each other."""
        self._before_pages = (len(self.times), len(self.incomplete))
        self._asked_in_a_row.clear()
        self._seen.clear()
        self._pages = 0

    def add_request(self, request: Request, sent: bool = True) -> None:
        """Count a request that is `sent`, or answered from landing."""
        self._asked[self._identity(request)] += sent
        self._sent += sent
        self._asked_in_a_row.add(self._identity(request))

    def may_request(self, request: Request) -> bool:
        """True if a request was made once at most: what is missing may span the whole window, which the venue is asked twice."""
        return self._asked[self._identity(request)] < 2

    def is_planned(self, request: Request) -> bool:
        """True if a request is the planned one but for the window that is read of its answer."""
        return self._identity(request) == self._identity(self.planned)

    def missing(self, now: int, settle: int) -> Window | None:
        """At the end of a round, the window to request again; None where nothing is missing, or asking again brought no rows.

        Rows at no regular times that no run has been sent are asked for once in each run; of others silence is noted.
        """
        if self.known_whole:
            return None
        if self._lost and not self._repeated and not self._has_all(now):
            self._repeated = True
            return self.planned.window
        if self._rounds > 1 and len(self.times) == self._before_round:
            if self._sent or self._step:
                return None
            self.asks_anew = True
        return self.hole(now, settle)

    @staticmethod
    def _identity(request: Request) -> bytes:
        return msgspec.json.encode([request.path, dict(request.params), request.body], order="sorted")

    def refuse_loop(self, source: str, request: Request, following: Request | None, page: Page, most: int) -> None:
        """Raise `Transient` where the pages don't end: the next one was requested already, this one adds nothing, or too many."""
        if following is None:
            return
        before = len(self._seen)
        self._pages += 1
        self._seen.update(self._content(request, following, page))
        if self._identity(following) in self._asked_in_a_row or len(self._seen) == before:
            message = f"the pages repeat after {self._pages}; what they have is kept"
            raise Transient(source, request.path_label, message, AGAIN)
        if self._pages >= most:
            message = f"more than {most:,} pages follow each other; what they have is kept"
            raise Transient(source, request.path_label, message, "Ask for a shorter window, or raise the setting chain_max_pages")

    def _content(self, request: Request, following: Request, page: Page) -> set[int]:
        """What a page adds: the keys of its rows; of one without rows its bytes, but for the cursor to the next."""
        names = [name for name in self.endpoint.key if name in self.endpoint.record.__struct_fields__]
        if page.rows and names:
            return set(map(hash, map(attrgetter(*names), page.rows)))
        body = page.body
        for name, value in following.params.items():
            if request.params.get(name) != value:
                body = body.replace(str(value).encode(), b"")
        return {hash(body)}

    def hole(self, now: int, settle: int) -> Window | None:
        """The hull of what the rows leave out of the window; None where they leave nothing out, or there are none at all.

        Bars lie on a grid, points `every` so many milliseconds. Other rows are at most eight hours apart, or as far as most of
        these rows are where that is more: a longer way between two rows is a hole, and so are one longer than those around it
        (`_unusual`), and a way to an end of the window longer than any between these rows: once that was requested again, longer
        than eight hours or most ways, as the interval of settlements may have changed there. Where rows on the other side of an
        end came too, the way to these counts like any other.
        The newest row may come late until `settle` milliseconds after the window's end.
        """
        window, bar = self.planned.window, self.endpoint.bar
        if not self.times or not window:
            return None
        start = -(-window.start // bar) * bar if bar else window.start
        end = min(window.end, now // bar * bar) if bar else window.end
        if bar and self.times.issuperset(range(start, end, bar)):
            return None
        times = [*self._before, *sorted(self.times), *self._after]
        gaps = [after - before for before, after in pairwise(times)]
        every = self.endpoint.every
        most = bar or (every + 60_000 if every else _longest_usual(gaps))
        unusual = set() if self._step else _unusual(gaps)
        step = bar or every or max((gap for n, gap in enumerate(gaps) if gap <= most and n not in unusual), default=8 * HOUR)
        late = step if window.end + settle > now else 0
        ways = [Window(times[n] + (bar or 1), times[n + 1]) for n, gap in enumerate(gaps) if gap > most or n in unusual]
        holes = [Window(max(way.start, start), min(way.end, end)) for way in ways if way.meets(window)]
        reach = step if self._step or self._lost or self._rounds < 2 else most
        if times[0] - start >= reach - (0 if self._step else SETTLED_LATE_MS):  # settlements are stamped some milliseconds late
            holes.insert(0, Window(start, times[0]))
        if not self._after and end - times[-1] > max(step + 60_000, reach) + late:
            holes.append(Window(times[-1] + (bar or 1), end))
        return Window(holes[0].start, holes[-1].end) if holes else None


def _unknown_fields(endpoint: Endpoint, page: Page) -> set[str]:
    """The fields of a JSON page's first row that are neither read nor ignored on purpose."""
    if endpoint.decode or not page.rows or endpoint.record.__struct_config__.array_like:
        return set()
    names = known_names(endpoint.wire_type or endpoint.record)
    if "*" in endpoint.ignored_fields:
        return set()
    try:
        row = _first_object(msgspec.json.decode(page.body), names)
    except (ValueError, RecursionError):
        return set()
    return set(row) - names - endpoint.ignored_fields if row else set()


def _first_object(value: object, names: frozenset[str]) -> dict[str, object] | None:
    """The first object in a body with at least half of a row's fields."""
    if isinstance(value, dict):
        if len(names & value.keys()) * 2 >= len(names):
            return value
        value = list(value.values())
    if isinstance(value, list):
        for item in value[:4]:
            if row := _first_object(item, names):
                return row
    return None


def _longest_usual(gaps: Sequence[int]) -> int:
    """The longest way between two rows that are no bars: eight hours, or the most common one where that is longer; and a minute.

    Milliseconds. Settlements are at most eight hours apart, numbers by day a day.
    """
    minutes = Counter(round(gap / 60_000) for gap in gaps)
    common = [gap for gap, times in minutes.items() if times == max(minutes.values())]
    return max(8 * 60, min(common, default=0)) * 60_000 + 60_000


def _unusual(gaps: Sequence[int]) -> set[int]:
    """The places of ways longer than most of the three before and most of the three after: of rows that are left out.

    Where the interval of settlements changes, it is that of one side.
    """
    if not gaps or max(gaps) < 1.5 * min(gaps):
        return set()
    long = (n for n in range(1, len(gaps) - 1) if gaps[n] >= 1.5 * min(gaps))
    return {n for n in long if gaps[n] >= 1.5 * max(median_low(gaps[max(0, n - 3) : n]), median_low(gaps[n + 1 : n + 4]))}
