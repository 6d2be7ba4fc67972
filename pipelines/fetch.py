"""Fetch: ask the chosen sources for a window, side by side, and put every answer into landing. Nothing else is written.

Each source first gives its bulk endpoints (instruments among them), then every chosen instrument's history, what expires
first going first. A failed request does not stop the others; a blocked source stops alone. What landing already holds for
good is not asked again, which is also how a killed run goes on.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from pipelines.client import Client, Page
from pipelines.errors import AGAIN, Absent, Blocked, KeyRefused, Transient, VenueError
from pipelines.landing import Entry, request_fingerprint
from pipelines.records import known_names
from pipelines.registry import closed_at
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Endpoint, Instrument, Request, Source
from pipelines.windows import DAY, Window

log = logging.getLogger("perplake.fetch")

#: So many requests in a row that came to nothing, and the source is given up for this run.
GIVE_UP_AFTER = 8
#: How many past runs are looked through for answers that need no asking again.
RUNS_REMEMBERED = 30
#: How far inside of what a venue keeps a window stays while time goes on, in milliseconds.
EDGE = 10 * 60_000

Progress = Callable[[str, int, int], None]


@dataclass
class FetchResult:
    """What became of one source: its pages, and what there is to say about it."""

    source: str
    entries: list[Entry] = field(default_factory=list)
    failures: list[VenueError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)
    reused: int = 0
    #: From the start of the fetch, in which all sources begin together, until this one was through.
    seconds: float = 0

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries)

    def add(self, other: FetchResult) -> None:
        """Another venue of the same source."""
        self.entries += other.entries
        self.failures += other.failures
        self.warnings += other.warnings
        self.assets |= other.assets
        self.reused += other.reused

    @property
    def quarantined(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.problem]


async def fetch(run: Run, sources: list[Source], progress: Progress = lambda source, done, total: None) -> list[FetchResult]:
    """Fetch all sources side by side. Raises `LandingFull`; every other problem is in the result."""
    remembered = _remembered(run)
    jobs = [_SourceFetch(run, source, remembered, progress) for source in sources]
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job.fetch())
    except* Exception as several:
        first: BaseException = several
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    finally:
        run.landing.flush()
    results: dict[str, FetchResult] = {}
    for job in jobs:
        if (known := results.setdefault(job.source.name, job.result)) is not job.result:
            known.add(job.result)
    return list(results.values())


def _remembered(run: Run) -> dict[str, Entry]:
    """Final answers of earlier runs by their question."""
    if run.settings.refetch:
        return {}
    runs = run.landing.runs()[-RUNS_REMEMBERED:]
    return {_asked(e): e for e in run.landing.iterate(runs) if e.final and not e.problem and e.market == run.settings.market}


def _asked(entry: Entry) -> str:
    path = entry.path_label if entry.body is None else entry.path_label.partition(" ")[0]
    window = Window(*entry.window) if entry.window else None
    request = Request(path, entry.params, entry.body, window=window, clip_end=entry.clip_end)
    return request_fingerprint(entry.source, entry.dataset, request, None if entry.window else entry.observed_at)


class _SourceFetch:
    """One source in one run."""

    def __init__(self, run: Run, source: Source, remembered: dict[str, Entry], progress: Progress) -> None:
        self.run, self.source, self.remembered, self.progress = run, source, remembered, progress
        self.result = FetchResult(source.name)
        self._stopped = False
        self._in_a_row = 0
        self._done = self._total = 0

    async def fetch(self) -> None:
        begun = time.monotonic()
        async with self.run.client(self.source) as client:
            bulk = [d for d in self.source.endpoints if d.bulk]
            chosen: list[Instrument] = []
            for dataset in sorted(bulk, key=lambda d: d.name != "instruments"):
                await self._all(client, dataset, [Instrument("", "")])
            if self.source.parse_instruments:
                chosen = self._chosen()
            elif self.source.by_asset:
                wanted = self.run.settings.assets
                wanted = Settings.model_fields["assets"].default if "all" in wanted else wanted
                chosen = [Instrument(asset, asset) for asset in wanted]
            by_expiry = sorted(
                (d for d in self.source.endpoints if not d.bulk), key=lambda d: (not d.snapshot, d.history_days or 1e9)
            )
            async with asyncio.TaskGroup() as group:
                for dataset in by_expiry:
                    group.create_task(self._all(client, dataset, chosen))
        self.result.warnings += client.warnings
        self.result.seconds = time.monotonic() - begun

    def _chosen(self) -> list[Instrument]:
        dataset = self.source.endpoint("instruments")
        assert self.source.parse_instruments
        wanted = set(self.run.settings.assets)
        listed: dict[str, Instrument] = {}
        for entry in self.result.entries:
            if entry.dataset == "instruments" and not entry.problem:
                page = dataset.read(self.run.landing.body(entry))
                listed.update((i.symbol, i) for i in self.source.parse_instruments(page))
        if not listed:
            self._stop(Transient(self.source.name, f"instruments of {self.source.venue}", "no list of them could be had", AGAIN))
        chosen = [i for i in listed.values() if "all" in wanted or i.base_asset in wanted]
        self.result.assets = {i.base_asset for i in chosen}
        return chosen

    def window(self, dataset: Endpoint) -> Window:
        """The part of the run's window that this dataset can be asked for."""
        now, window = self.run.clock.now(), self.run.window.before(self.run.clock.now())
        window = window.before(closed_at(self.source.venue) or window.end)
        if dataset.history_days and self.run.history_is_limited:
            # What lies on the edge is gone before a request that has to wait gets there.
            window = window.after(now - int(dataset.history_days * DAY) + (0 if self.run.clock.frozen else EDGE))
        if dataset.is_event:
            window = window.after((now - int(self.run.settings.liquidation_days * DAY)) // DAY * DAY)
        return window

    async def _all(self, client: Client, dataset: Endpoint, instruments: list[Instrument]) -> None:
        window = self.window(dataset)
        if not window and not dataset.snapshot:
            return
        requests = [replace(r, instrument=i.symbol) for i in instruments for r in dataset.plan(i, window)]
        self._total += len(requests)
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(self._chain(client, dataset, request))

    async def _chain(self, client: Client, dataset: Endpoint, request: Request) -> None:
        """A request and the pages that follow it."""
        following: Request | None = request
        while following and not self._stopped:
            try:
                following = await self._page(client, dataset, following)
                self._in_a_row = 0
            except Absent as problem:
                self._warn_once(str(problem))
                break
            except Blocked as problem:
                if isinstance(problem, KeyRefused) and not self._stopped:
                    self.run.refuse_key(self.source, str(problem))
                self._stop(problem)
            except VenueError as problem:
                self.result.failures.append(problem)
                log.error("%s", problem)
                self._in_a_row += 1
                if self._in_a_row >= GIVE_UP_AFTER and not self._stopped:
                    said = f"{GIVE_UP_AFTER} requests in a row to {self.source.venue} failed"
                    self._stop(Blocked(self.source.name, "", said, AGAIN))
                break
        self._done += 1
        self.progress(self.source.name, self._done, self._total)

    async def _page(self, client: Client, dataset: Endpoint, request: Request) -> Request | None:
        """Have one page, from landing or from the venue; returns what to ask next."""
        asked = request_fingerprint(self.source.name, dataset.name, request, None if request.window else self.run.started)
        if known := self.remembered.get(asked):
            self.run.landing.note(known)
            self.result.entries.append(known)
            self.result.reused += 1
            if known.last:
                return None
            content = dataset.read(self.run.landing.body(known))
            return dataset.next_page(request, content, dataset.rows(content))
        page = await client.fetch_page(request, dataset)
        following = None if page.problem else dataset.next_page(request, page.content, page.rows)
        if following and following.params == request.params and following.body == request.body:
            raise Transient(self.source.name, request.path_label, "the next page would be the page before", AGAIN)
        entry = self._entry(dataset, request, page, following is None)
        await asyncio.to_thread(self.run.landing.put, entry, page.body)
        self.result.entries.append(entry)
        if page.problem:
            log.error(
                "%s %s: quarantined, %s = %s: %s",
                self.source.name,
                request.path_label,
                page.field,
                page.value,
                page.problem,
            )
        elif unknown := _unknown(dataset, page):
            self._warn_once(f"{self.source.name} {request.path_label}: new fields, not read: {', '.join(sorted(unknown))}")
        return following

    def _entry(self, dataset: Endpoint, request: Request, page: Page, last: bool) -> Entry:
        run = self.run
        settle = 0 if run.clock.frozen else int(run.settings.settle_minutes * 60_000)
        over = request.window.end + settle <= page.observed_at if request.window else run.clock.frozen
        empty = not page.problem and dataset.is_empty(page.content, page.rows)
        return Entry(
            run=run.id,
            source=self.source.name,
            dataset=dataset.name,
            market=run.settings.market,
            method=request.method,
            url=page.url,
            path_label=request.path_label,
            context=dict(request.context),
            window=(request.window.start, request.window.end) if request.window else None,
            observed_at=run.started if dataset.snapshot else page.observed_at,
            status=page.status,
            sha256=page.sha256,
            size=len(page.body),
            params=dict(request.params),
            body=dict(request.body) if request.body else None,
            origin=page.origin or run.origin,
            final=over and not empty and not page.problem,
            last=last,
            clip_end=request.clip_end,
            empty=empty,
            problem=page.problem,
            field=page.field,
            value=page.value,
        )

    def _stop(self, problem: VenueError) -> None:
        if not self._stopped:
            self._stopped = True
            self.result.failures.append(problem)
            log.error("%s", problem)

    def _warn_once(self, line: str) -> None:
        if line not in self.result.warnings:
            self.result.warnings.append(line)
            log.warning("%s", line)


def _unknown(dataset: Endpoint, page: Page) -> set[str]:
    """Names in the first row of a JSON page that are neither read nor documented as skipped."""
    if dataset.decode or not page.rows or dataset.record.__struct_config__.array_like:
        return set()
    names = known_names(dataset.wire_type or dataset.record)
    row = _first_object(msgspec.json.decode(page.body), names)
    return set(row) - names - dataset.ignored_fields if row else set()


def _first_object(value: object, names: frozenset[str]) -> dict[str, object] | None:
    """The first object in a body that looks like a row: it has at least half of the row's names."""
    if isinstance(value, dict):
        if len(names & value.keys()) * 2 >= len(names):
            return value
        value = list(value.values())
    if isinstance(value, list):
        for item in value[:4]:
            if found := _first_object(item, names):
                return found
    return None
