"""Backfill: a long window, archives first and the venues' REST for what they lack, a quarter of a year at a time.

`plan` lists what each source would be asked, with bytes where a listing states them; `estimate` is the time that the venues'
limits make of it. `fetch_part` fetches a part: archives, then REST without what these gave. Everything is in landing as by any
other fetch: a backfill that was stopped goes on where it stopped. The newest part comes first, since venues forget the oldest.
Alone: `perps backfill --from 2020-01-01 --plan`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from pipelines.fetch import FetchResult, Progress, fetch, final_entries, plan, together
from pipelines.limits import SHARE, SLACK_MS
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Request, Source
from pipelines.windows import DAY, Window

#: Seconds from a request to its answer, in estimates.
LATENCY = 0.15


@dataclass
class Planned:
    """What a source would be asked for an endpoint: times in ms, of all requests; `known`: landing has the answers of so many.

    `size` are the bytes and `weights` the weight of what it lacks; a size is stated by a listing alone.
    """

    source: Source
    endpoint: str
    requests: int = 0
    known: int = 0
    size: int = 0
    instruments: set[str] = field(default_factory=set)
    first: int = 0
    last: int = 0
    weights: Counter[str] = field(default_factory=Counter)

    @property
    def is_listed(self) -> bool:
        """True if a listing states the sizes."""
        return self.source.endpoint(self.endpoint).listed is not None

    def add(self, request: Request, is_known: bool) -> None:
        assert request.window
        self.first = min(self.first or request.window.start, request.window.start)
        self.last = max(self.last, request.window.end)
        self.instruments.add(request.context.get("symbol") or request.instrument)
        self.requests += 1
        self.known += is_known
        if not is_known:
            self.size += int(request.params.get("size", 0))
            self.weights.update(request.weights)


def with_archives(settings: Settings) -> Settings:
    """The settings with the archives of the chosen sources, but for those of trades, whose bars REST has in a thousandth."""
    archives = [name for name, row in source_rows().items() if row.archive_of in settings.sources and not row.large]
    return settings.model_copy(update={"venues": list(dict.fromkeys([*settings.venues, *archives]))})


def parts(window: Window) -> list[Window]:
    """The quarters of years that a window touches, within it, the newest first."""
    return [window.after(quarter.start).before(quarter.end) for quarter in window.months(3)][::-1]


@dataclass
class _Family:
    """Archives, and the sources that have the same by REST, without what is of the present and asked by instrument."""

    archives: list[Source] = field(default_factory=list)
    others: list[Source] = field(default_factory=list)


def _families(sources: Iterable[Source]) -> list[_Family]:
    families: defaultdict[str, _Family] = defaultdict(_Family)
    for source in sources:
        if name := source_rows()[source.name].archive_of:
            families[name].archives.append(source)
        else:
            kept = tuple(endpoint for endpoint in source.endpoints if endpoint.bulk or not endpoint.snapshot)
            families[source.name].others.append(replace(source, endpoints=kept))
    return list(families.values())


def _of_archives(run: Run, part: Window) -> Run:
    """The run of the archives for a part, with the events of all its days: their files are like others."""
    return replace(run, window=part, settings=run.settings.model_copy(update={"liquidation_days": (part.end - part.start) / DAY}))


def _of_others(run: Run, part: Window, had: Iterable[tuple[str, str, str, Window]]) -> Run:
    """The run of the others for a part, without what was had (archive, endpoint, symbol); events at the window's end alone."""
    found: defaultdict[tuple[str, str], defaultdict[str, list[Window]]] = defaultdict(lambda: defaultdict(list))
    for archive, endpoint, symbol, window in had:
        found[source_rows()[archive].archive_of or "", endpoint][symbol].append(window)
    days = run.settings.liquidation_days if part.end == run.window.end else 0
    return replace(run, window=part, had=found, settings=run.settings.model_copy(update={"liquidation_days": days}))


async def plan_part(
    run: Run, sources: Sequence[Source], part: Window, planned: dict[tuple[str, str], Planned]
) -> list[FetchResult]:
    """Add what a part would be asked to what is `planned`, by source and endpoint; the results have the problems."""
    remembered = final_entries(replace(run, window=part), sources)

    async def of(family: _Family) -> list[tuple[Source, FetchResult, dict[str, list[tuple[Request, bool]]]]]:
        found = await plan(_of_archives(run, part), family.archives, remembered)
        had = (
            (result.source, endpoint, request.context.get("symbol", ""), request.window)
            for result, endpoints in found
            for endpoint, requests in endpoints.items()
            for request, _ in requests
            if request.window
        )
        found += await plan(_of_others(run, part, had), family.others, remembered)
        return [(source, *each) for source, each in zip([*family.archives, *family.others], found, strict=True)]

    results = []
    for source, result, endpoints in chain.from_iterable(await together(map(of, _families(sources)))):
        results.append(result)
        for endpoint, requests in endpoints.items():
            line = planned.setdefault((source.name, endpoint), Planned(source, endpoint))
            for request, is_known in requests:
                line.add(request, is_known)
    return results


async def fetch_part(run: Run, sources: Sequence[Source], part: Window, progress: Progress) -> list[FetchResult]:
    """Fetch a part: of each family its archives, then from the others what these didn't give; no family waits for another."""
    remembered = final_entries(replace(run, window=part), sources)

    async def of(family: _Family) -> list[FetchResult]:
        results = await fetch(_of_archives(run, part), family.archives, progress, remembered)
        entries = (entry for result in results for entry in result.entries)
        had = (
            (e.source, e.endpoint_name, e.context.get("symbol", ""), Window(*e.window)) for e in entries if e.window and e.final
        )
        return results + await fetch(_of_others(run, part, had), family.others, progress, remembered)

    return list(chain.from_iterable(await together(map(of, _families(sources)))))


def estimate(planned: Iterable[Planned], scale: float) -> dict[str, float]:
    """By pool, the seconds that its limits, and answers after `LATENCY`, make of what landing lacks.

    Pages that follow a first one are not known before, and not counted. `scale` multiplies the limits.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    spent: defaultdict[tuple[str, str], float] = defaultdict(float)
    for line in planned:
        source = line.source
        seconds[source.limit_pool] += (line.requests - line.known) * LATENCY / source.concurrency
        for name, weight in line.weights.items():
            limit = source.limits[name]
            spent[source.limit_pool, name] += weight / (limit.weight * scale * SHARE) * (limit.seconds + SLACK_MS / 1000)
    return {pool: max([least, *(s for (of, _), s in spent.items() if of == pool)]) for pool, least in seconds.items()}
