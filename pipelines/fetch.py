"""Fetch: request a window from the chosen sources, all at the same time, and put every response into landing.

Each source is first asked for its bulk endpoints (instruments among them), then for the history of every chosen instrument,
endpoints with the shortest history first. A failed request does not stop the others; a block stops its source alone. Final
responses in landing are reused, which is also how a run continues after a killed one. Nothing but landing is written.
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

#: A source is given up for this run after so many failed requests in a row.
GIVE_UP_AFTER = 8
#: How many past runs are searched for final responses.
RUNS_REMEMBERED = 30
#: The distance from the limit of a venue's history, in milliseconds: a request may wait so long before it is sent.
HISTORY_MARGIN_MS = 10 * 60_000

Progress = Callable[[str, int, int], None]


@dataclass
class FetchResult:
    """The outcome of one source: its pages, its failed requests, and warnings for the user."""

    source: str
    entries: list[Entry] = field(default_factory=list)
    failures: list[VenueError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)
    reused: int = 0
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
        self.reused += other.reused

    @property
    def quarantined(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.problem]


async def fetch(run: Run, sources: list[Source], progress: Progress = lambda source, done, total: None) -> list[FetchResult]:
    """Fetch all sources at the same time. Raises `LandingFull`; every other problem is in the results."""
    remembered = _final_entries(run)
    jobs = [_SourceFetch(run, source, remembered, progress) for source in sources]
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job.fetch())
    except* Exception as several:
        problem: BaseException = several
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        raise problem from None
    finally:
        run.landing.flush()
    results: dict[str, FetchResult] = {}
    for job in jobs:
        if (known := results.setdefault(job.source.name, job.result)) is not job.result:
            known.add(job.result)
    return list(results.values())


def _final_entries(run: Run) -> dict[str, Entry]:
    """Final responses of earlier runs, by the fingerprint of their request."""
    if run.settings.refetch:
        return {}
    runs = run.landing.runs()[-RUNS_REMEMBERED:]
    return {
        _fingerprint(e): e for e in run.landing.iterate(runs) if e.final and not e.problem and e.market == run.settings.market
    }


def _fingerprint(entry: Entry) -> str:
    path = entry.path_label if entry.body is None else entry.path_label.partition(" ")[0]
    window = Window(*entry.window) if entry.window else None
    request = Request(path, entry.params, entry.body, window=window, clip_end=entry.clip_end)
    return request_fingerprint(entry.source, entry.endpoint_name, request, None if entry.window else entry.observed_at)


class _SourceFetch:
    """One source in one run."""

    def __init__(self, run: Run, source: Source, remembered: dict[str, Entry], progress: Progress) -> None:
        self.run, self.source, self.remembered, self.progress = run, source, remembered, progress
        self.result = FetchResult(source.name)
        self._stopped = False
        self._failed_in_a_row = 0
        self._done = self._total = 0

    async def fetch(self) -> None:
        begun = time.monotonic()
        async with self.run.client(self.source) as client:
            bulk = [endpoint for endpoint in self.source.endpoints if endpoint.bulk]
            for endpoint in sorted(bulk, key=lambda endpoint: endpoint.name != "instruments"):
                await self._fetch_endpoint(client, endpoint, [Instrument("", "")])
            instruments = self._chosen_instruments()
            others = [endpoint for endpoint in self.source.endpoints if not endpoint.bulk]
            async with asyncio.TaskGroup() as group:
                for endpoint in sorted(others, key=lambda endpoint: (not endpoint.snapshot, endpoint.history_days or 1e9)):
                    group.create_task(self._fetch_endpoint(client, endpoint, instruments))
        self.result.warnings += client.warnings
        self.result.seconds = time.monotonic() - begun

    def _chosen_instruments(self) -> list[Instrument]:
        wanted = set(self.run.settings.assets)
        if self.source.by_asset:
            assets = Settings.model_fields["assets"].default if "all" in wanted else self.run.settings.assets
            return [Instrument(asset, asset) for asset in assets]
        if not self.source.parse_instruments:
            return []
        endpoint = self.source.endpoint("instruments")
        listed: dict[str, Instrument] = {}
        for entry in self.result.entries:
            if entry.endpoint_name == "instruments" and not entry.problem:
                page = endpoint.read(self.run.landing.body(entry))
                listed.update((i.symbol, i) for i in self.source.parse_instruments(page))
        if not listed:
            self._stop(Transient(self.source.name, f"instruments of {self.source.venue}", "the list could not be read", AGAIN))
        chosen = [i for i in listed.values() if "all" in wanted or i.base_asset in wanted]
        self.result.assets = {i.base_asset for i in chosen}
        return chosen

    def window(self, endpoint: Endpoint) -> Window:
        """The part of the run's window that is requested from this endpoint: before now, and within the venue's history.

        Events are requested for the last `liquidation_days` of that part alone.
        """
        now = self.run.clock.now()
        window = self.run.window.before(min(now, closed_at(self.source.venue) or now))
        if endpoint.is_event:
            window = window.after((window.end - int(self.run.settings.liquidation_days * DAY)) // DAY * DAY)
        if endpoint.history_days and self.run.history_is_limited:
            margin = 0 if self.run.clock.frozen else HISTORY_MARGIN_MS
            window = window.after(now - int(endpoint.history_days * DAY) + margin)
        return window

    async def _fetch_endpoint(self, client: Client, endpoint: Endpoint, instruments: list[Instrument]) -> None:
        window = self.window(endpoint)
        if not window and not endpoint.snapshot:
            return
        requests = [replace(r, instrument=i.symbol) for i in instruments for r in endpoint.plan(i, window)]
        self._total += len(requests)
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(self._fetch_pages(client, endpoint, request))

    async def _fetch_pages(self, client: Client, endpoint: Endpoint, request: Request) -> None:
        """The page of a request and the pages that follow it."""
        next_request: Request | None = request
        while next_request and not self._stopped:
            try:
                next_request = await self._fetch_page(client, endpoint, next_request)
                self._failed_in_a_row = 0
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
                self._failed_in_a_row += 1
                if self._failed_in_a_row >= GIVE_UP_AFTER and not self._stopped:
                    message = f"{GIVE_UP_AFTER} requests in a row to {self.source.venue} failed"
                    self._stop(Blocked(self.source.name, "", message, AGAIN))
                break
        self._done += 1
        self.progress(self.source.name, self._done, self._total)

    async def _fetch_page(self, client: Client, endpoint: Endpoint, request: Request) -> Request | None:
        """One page, from landing or from the venue; returns the request for the next page."""
        fingerprint = request_fingerprint(self.source.name, endpoint.name, request, None if request.window else self.run.started)
        if entry := self.remembered.get(fingerprint):
            self.run.landing.add_entry(entry)
            self.result.entries.append(entry)
            self.result.reused += 1
            if entry.last:
                return None
            content = endpoint.read(self.run.landing.body(entry))
            return endpoint.next_page(request, content, endpoint.rows(content))
        page = await client.fetch_page(request, endpoint)
        next_request = None if page.problem else endpoint.next_page(request, page.content, page.rows)
        if next_request and next_request.params == request.params and next_request.body == request.body:
            raise Transient(self.source.name, request.path_label, "the next page would be the same page", AGAIN)
        entry = self._entry(endpoint, request, page, next_request is None)
        await asyncio.to_thread(self.run.landing.put, entry, page.body)
        self.result.entries.append(entry)
        if page.problem:
            label = f"{self.source.name} {request.path_label}"
            log.error("%s: quarantined, %s = %s: %s", label, page.field, page.value, page.problem)
        elif unknown := _unknown_fields(endpoint, page):
            self._warn_once(f"{self.source.name} {request.path_label}: new fields, not read: {', '.join(sorted(unknown))}")
        return next_request

    def _entry(self, endpoint: Endpoint, request: Request, page: Page, last: bool) -> Entry:
        run = self.run
        settle = 0 if run.clock.frozen else int(run.settings.settle_minutes * 60_000)
        over = request.window.end + settle <= page.observed_at if request.window else run.clock.frozen
        empty = not page.problem and endpoint.is_empty(page.content, page.rows)
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


def _unknown_fields(endpoint: Endpoint, page: Page) -> set[str]:
    """The fields of a JSON page's first row that are neither read nor ignored on purpose."""
    if endpoint.decode or not page.rows or endpoint.record.__struct_config__.array_like:
        return set()
    names = known_names(endpoint.wire_type or endpoint.record)
    row = _first_object(msgspec.json.decode(page.body), names)
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
