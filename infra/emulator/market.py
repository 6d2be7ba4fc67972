"""The store as one venue may show it, and the values that every venue's snapshot needs. Nothing to run alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from infra.emulator.rendering import EMPTY, Rows
from infra.emulator.store import (
    MS_HOUR,
    Candles,
    Funding,
    Ints,
    Liquidations,
    Listing,
    MarketStore,
    OpenInterest,
    PriceKind,
)

Bundle = TypeVar("Bundle", Candles, Funding, OpenInterest, Liquidations)
Kept = TypeVar("Kept")


class Market:
    """The store as one venue may show it: from `since` (ms) on; everything asked for is kept until `forget`."""

    def __init__(self, store: MarketStore, venue: str, since: int) -> None:
        self.store, self.venue, self.since = store, venue, since
        self._kept: dict[Any, Any] = {}
        self._added: dict[str, list[Liquidations]] = {}

    def forget(self) -> None:
        """After the store has more data: render anew."""
        self._kept.clear()

    def keep(self, key: Any, make: Callable[[], Kept]) -> Kept:
        """The result of `make`, computed once per key."""
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
        return self.keep(("liquidations", listed), lambda: self._cut(self._with_added(listed)))

    def add_liquidations(self, listed: str, forced: Liquidations) -> None:
        """Let more happen than the store holds, such as a cascade that a test asks for."""
        self._added.setdefault(listed, []).append(forced)
        self.forget()

    def _with_added(self, listed: str) -> Liquidations | None:
        """The store's liquidations and the added ones, in the order of their times."""
        parts = [part for part in (self.store.liquidations(self.venue, listed), *self._added.get(listed, ())) if part is not None]
        if len(parts) < 2:
            return parts[0] if parts else None
        time, long, price, size = (np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Liquidations))
        order = np.argsort(time, kind="stable")
        return Liquidations(time[order], long[order], price[order], size[order])

    def running_rate(self, listed: str, now: int) -> float | None:
        return self.store.running_rate(self.venue, listed, now)

    def _cut(self, bundle: Bundle | None) -> Bundle | None:
        if bundle is None:
            return None
        names = [f.name for f in fields(bundle)]  # the first is the time
        first = int(np.searchsorted(getattr(bundle, names[0]), self.since, "left"))
        return replace(bundle, **{name: getattr(bundle, name)[first:] for name in names}) if first else bundle

    def candle_rows(self, kind: PriceKind, listed: str, render: Callable[[Candles], Rows]) -> Rows:
        """The bars of a kind of price, rendered once; none where the store doesn't hold them."""
        return self.rows(("candles", kind), listed, self.candles(listed, kind), render)

    def funding_rows(self, listed: str, render: Callable[[Funding], Rows]) -> Rows:
        return self.rows("funding", listed, self.funding(listed), render)

    def open_interest_rows(self, listed: str, render: Callable[[OpenInterest], Rows]) -> Rows:
        return self.rows("open_interest", listed, self.open_interest(listed), render)

    def liquidation_rows(self, listed: str, render: Callable[[Liquidations], Rows]) -> Rows:
        return self.rows("liquidations", listed, self.liquidations(listed), render)

    def snapshot(self, listing: Listing, now: int) -> Snapshot:
        return Snapshot(self, listing, now)

    def rows(self, dataset: Any, listed: str, bundle: Bundle | None, render: Callable[[Bundle], Rows]) -> Rows:
        """The dataset as `render` gives it, kept by function; no rows for what the store doesn't hold."""
        key = ("rows", getattr(render, "__code__", render), dataset, listed)  # two endpoints may render one dataset
        return EMPTY if bundle is None else self.keep(key, lambda: render(bundle))

    def price(self, listed: str, kind: PriceKind, now: int) -> float:
        """The close of the last bar that is over; NaN where the store lacks it."""
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
    an older value is not one of the present."""
    if bundle is None:
        return float("nan")
    times: Ints = getattr(bundle, fields(bundle)[0].name)
    at = int(np.searchsorted(times, until, "right")) - 1
    is_current = at >= 0 and until - int(times[at]) < MS_HOUR
    return float(getattr(bundle, name)[at]) if is_current else float("nan")


def interval_hours(listing: Listing, now: int) -> int:
    """The funding interval that is valid at `now`."""
    known = [hours for since, hours in listing.funding_interval_hours if since <= now]
    return known[-1] if known else listing.funding_interval_hours[0][1]


def next_settlement(listing: Listing, now: int) -> int:
    """The next instant (ms) of the funding grid after `now`."""
    step = interval_hours(listing, now) * MS_HOUR
    return (now // step + 1) * step


@dataclass(frozen=True)
class Snapshot:
    """A listing at an instant: prices of the last bar that is over, running rate, open interest in listed coins; NaN or None
    where the store lacks them."""

    market: Market
    listing: Listing
    now: int

    @cached_property
    def last(self) -> float:
        return self.market.price(self.listing.listed, "trade", self.now)

    @cached_property
    def mark(self) -> float:
        return self.market.price(self.listing.listed, "mark", self.now)

    @cached_property
    def index(self) -> float:
        return self.market.price(self.listing.listed, "index", self.now)

    @cached_property
    def rate(self) -> float | None:
        return self.market.running_rate(self.listing.listed, self.now)

    @cached_property
    def size(self) -> float:
        return latest(self.market.open_interest(self.listing.listed), "size", self.now)

    @cached_property
    def day(self) -> Candles | None:
        """The trade bars of the last 24 hours."""
        return self.market.day(self.listing.listed, self.now)

    @property
    def interval_hours(self) -> int:
        return interval_hours(self.listing, self.now)

    @property
    def next_settlement(self) -> int:
        return next_settlement(self.listing, self.now)

    @property
    def over(self) -> bool:
        """Whether it is delisted."""
        return self.listing.delisted_at is not None and self.listing.delisted_at <= self.now


class FileFaults(Protocol):
    """What is wrong with the files of archives, see `faults`."""

    def of_file(self, venue: str, key: str) -> str: ...


class World(Protocol):
    """What an emulator gives its venues: the markets by name, whether they forget, what scales their limits, its faults."""

    history: bool
    scale: float

    @property
    def faults(self) -> FileFaults: ...

    def market(self, name: str) -> Market: ...
