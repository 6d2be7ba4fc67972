"""What the venue modules share: questions, answers, numbers as text, and rows of bytes that are cut by time.

A venue module asks its `Market` for a dataset of one coin. The market renders the whole of it once, a row to a piece of
bytes, and keeps it; a page is then two binary searches and one join. What lies after the clock is cut by the module, which
knows whether a stamp opens or closes its hour. Nothing to run alone: see `infra.emulator.testing.serve`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

from infra.emulator.store import (
    MS_HOUR,
    Candles,
    Floats,
    Funding,
    Ints,
    Liquidations,
    Listing,
    MarketStore,
    OpenInterest,
    PriceKind,
    Profile,
)

JSON = "application/json"
Bundle = TypeVar("Bundle", Candles, Funding, OpenInterest, Liquidations)
Kept = TypeVar("Kept")
encode = msgspec.json.encode


@dataclass(frozen=True)
class Ask:
    """A request as a venue module sees it: `path` without the venue's prefix, `now` the venue's clock in ms."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: int
    overlap: int = 0  # rows from before the window that a fault adds to the page

    def integer(self, name: str) -> int | None:
        """A parameter as a number; None when absent. Raises ValueError for what is none."""
        value = self.query.get(name)
        return int(value) if value else None

    def moment(self, name: str) -> int | None:
        """A parameter in ISO 8601, UTC, as ms; None when absent. Raises ValueError for what is none."""
        value = self.query.get(name)
        return int(np.datetime64(value.removesuffix("Z"), "ms").astype(np.int64)) if value else None


@dataclass(frozen=True)
class Answer:
    """What goes back. `charges` is what the request costs, by the name of the venue's limit."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    charges: Mapping[str, int] = field(default_factory=dict)


class Refusal(Exception):
    """A venue's own no: raised anywhere below `Venue.answer`, sent as it is."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


@dataclass(frozen=True)
class Usage:
    """How far one limit is used: what a venue tells in headers."""

    name: str
    used: int
    limit: int
    seconds_left: float  # until the window ends
    resets_at: int  # wall clock, ms


class World(Protocol):
    """What an emulator gives its venues: the markets by name, whether they forget, what their limits are scaled by."""

    history: bool
    scale: float

    def market(self, name: str) -> Market: ...


class Venue(ABC):
    """One source's wire format, under `/<name>`. A module in `venues/` has one, as `VENUE`.

    `limits` are weight and seconds by name; after `patience` refusals in a row comes a ban. `profile` makes it a part of the
    synthetic market; `beside` are further markets that the same host shows, by name (`World.market`).
    """

    name: str
    limits: Mapping[str, tuple[int, int]]
    patience: int | None = None
    profile: Profile | None = None
    beside: Mapping[str, Profile] = {}

    def __init__(self, world: World) -> None:
        self.world, self.market = world, world.market(self.name)

    @property
    def prefix(self) -> str:
        return "/" + self.name

    @abstractmethod
    def answer(self, ask: Ask) -> Answer: ...

    @abstractmethod
    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        """Over a limit; `banned` after many refusals. `usage` is None where a fault sends it."""

    @abstractmethod
    def error(self, ask: Ask) -> Answer:
        """The venue's own error for a server that can't answer, as it sends it."""

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        """What the venue tells of its limits."""
        return {}

    def blocked(self) -> Answer:
        """What a forbidden region sees."""
        return Answer(b"<html><body><h1>403 Forbidden</h1></body></html>", 403, "text/html")

    def trading(self, now: int) -> list[Listing]:
        """The listings that are not over."""
        return [x for x in self.market.listings(now) if x.delisted_at is None or x.delisted_at > now]


def plain(value: float) -> str:
    """The shortest decimal text that reads back as the same float64, never with an exponent; "" for NaN."""
    if value != value:
        return ""
    shortest = repr(value)
    return format(Decimal(shortest), "f") if "e" in shortest else shortest


def text(values: Floats) -> list[str]:
    """`plain` of each value."""
    return [plain(value) for value in values.tolist()]


def contracts(quote: Floats, face: float = 1.0) -> list[str]:
    """Amounts in the quote currency as whole contracts of so much each: what inverse contracts are counted in."""
    return ["" if n != n else str(round(n)) for n in (quote / face).tolist()]


def number(value: float | None) -> float | None:
    """A JSON number, None (null) for what isn't held."""
    return None if value is None or value != value else value


def iso(ms: int) -> str:
    """`2025-10-10T21:00:00.000Z`."""
    return str(np.datetime64(ms, "ms")) + "Z"


class Lazy(Sequence[bytes]):
    """Rows that are rendered when they are asked for: for those that are many, dear and seldom read."""

    def __init__(self, cell: Callable[[int], bytes], count: int) -> None:
        self._cell, self._count = cell, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: Any) -> Any:
        return [self._cell(n) for n in range(self._count)[which]] if isinstance(which, slice) else self._cell(which)


class Rows:
    """One dataset of one coin, rendered: ascending times (ms, not always unique) and the bytes of each row."""

    def __init__(self, times: Ints, cells: Sequence[bytes]) -> None:
        self.times, self.cells = times, cells

    def span(self, ask: Ask, start: int | None, end: int, limit: int, *, newest: bool = False) -> slice:
        """Rows with start <= time <= end: the first `limit` of them, or the newest."""
        low = 0 if start is None else int(np.searchsorted(self.times, start, "left"))
        high = int(np.searchsorted(self.times, end, "right"))
        if newest:
            low = max(low, high - limit)
        else:
            high = min(high, low + limit)
        return slice(max(0, low - ask.overlap), max(low, high))

    def newest(self, ask: Ask, size: int, page: int) -> tuple[bytes, int]:
        """A numbered page (the first is 1) counted from the newest row back, newest first; and how many rows there are."""
        known = self.span(ask, None, ask.now, len(self.cells)).stop
        end = max(0, known - (page - 1) * size)
        return self.array(slice(max(0, end - size - ask.overlap), end), descending=True), known

    def array(self, span: slice, *, descending: bool = False) -> bytes:
        """The rows of `span` as a JSON array."""
        cells = self.cells[span]
        return b"[" + b",".join(reversed(cells) if descending else cells) + b"]"


EMPTY = Rows(np.empty(0, np.int64), [])


def merged(parts: Iterable[Rows]) -> Rows:
    """Rows of several coins in one order of time."""
    parts = list(parts)
    times = np.concatenate([p.times for p in parts]) if parts else EMPTY.times
    cells = [cell for p in parts for cell in p.cells]
    order = np.argsort(times, kind="stable")
    return Rows(times[order], [cells[i] for i in order.tolist()])


class Market:
    """The store as one venue may show it: from `since` (ms) on; everything asked for is kept until `forget`."""

    def __init__(self, store: MarketStore, venue: str, since: int) -> None:
        self.store, self.venue, self.since = store, venue, since
        self._kept: dict[Any, Any] = {}

    def forget(self) -> None:
        """After the store has more data: render anew."""
        self._kept.clear()

    def keep(self, key: Any, make: Callable[[], Kept]) -> Kept:
        """What `make` gives, made once per key."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: Kept = self._kept[key]
        return kept

    def listings(self, now: int) -> list[Listing]:
        """What was ever listed by now, with its true listing date, though what lies before `since` is not shown."""
        known = self.keep("listings", lambda: self.store.listings(self.venue))
        return [x for x in known if x.listed_at <= now]

    def candles(self, listed: str, kind: PriceKind) -> Candles | None:
        return self.keep((kind, listed), lambda: self._cut(self.store.candles(self.venue, listed, kind)))

    def funding(self, listed: str) -> Funding | None:
        return self.keep(("funding", listed), lambda: self._cut(self.store.funding(self.venue, listed)))

    def open_interest(self, listed: str) -> OpenInterest | None:
        return self.keep(("oi", listed), lambda: self._cut(self.store.open_interest(self.venue, listed)))

    def liquidations(self, listed: str) -> Liquidations | None:
        return self.keep(("liquidations", listed), lambda: self._cut(self.store.liquidations(self.venue, listed)))

    def running_rate(self, listed: str, now: int) -> float | None:
        return self.store.running_rate(self.venue, listed, now)

    def _cut(self, bundle: Bundle | None) -> Bundle | None:
        if bundle is None:
            return None
        names = [f.name for f in fields(bundle)]  # the first is the time
        first = int(np.searchsorted(getattr(bundle, names[0]), self.since, "left"))
        return replace(bundle, **{name: getattr(bundle, name)[first:] for name in names}) if first else bundle

    def rows(self, dataset: Any, listed: str, bundle: Bundle | None, render: Callable[[Bundle], Rows]) -> Rows:
        """The rendered dataset; no rows for what the store doesn't hold."""
        return EMPTY if bundle is None else self.keep(("rows", dataset, listed), lambda: render(bundle))

    def price(self, listed: str, kind: PriceKind, now: int) -> float:
        """The close of the last bar that is over; NaN = not held."""
        return latest(self.candles(listed, kind), "close", now - MS_HOUR)

    def day(self, listed: str, now: int) -> Candles | None:
        """The trade bars that ended within the last 24 hours; None = there are none."""
        bars = self.candles(listed, "trade")
        if bars is None:
            return None
        high = int(np.searchsorted(bars.opened_at, now - MS_HOUR, "right"))
        low = int(np.searchsorted(bars.opened_at, now - 25 * MS_HOUR, "right"))
        return Candles(*(getattr(bars, f.name)[low:high] for f in fields(bars))) if low < high else None


def latest(bundle: Candles | Funding | OpenInterest | None, name: str, until: int) -> float:
    """The value of field `name` at the last time <= `until`; NaN where none lies within the hour: the store is hourly, and
    what it held before is not what holds now."""
    if bundle is None:
        return float("nan")
    times: Ints = getattr(bundle, fields(bundle)[0].name)
    at = int(np.searchsorted(times, until, "right")) - 1
    held = at >= 0 and until - int(times[at]) < MS_HOUR
    return float(getattr(bundle, name)[at]) if held else float("nan")


def interval_hours(listing: Listing, now: int) -> int:
    """The funding interval that is valid at `now`."""
    known = [hours for since, hours in listing.funding_interval_hours if since <= now]
    return known[-1] if known else listing.funding_interval_hours[0][1]


def next_settlement(listing: Listing, now: int) -> int:
    """The next instant (ms) of the funding grid after `now`."""
    step = interval_hours(listing, now) * MS_HOUR
    return (now // step + 1) * step


def tick(price: float) -> float:
    """A price step of six significant digits."""
    return float(f"1e{int(np.floor(np.log10(price))) - 5}") if price > 0 else 0.01
