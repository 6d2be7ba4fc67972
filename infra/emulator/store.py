"""What a market store holds and how it is asked: the one interface between market data and the venue emulator.

A store (`SyntheticMarket`, `RecordedMarket`) answers per venue and listed coin with small frozen bundles of numpy
arrays; the venue modules render them in each venue's wire format and hide whatever lies after the emulator's clock.

Conventions: times are UTC milliseconds (int64), ascending and unique; rates are fractions per funding interval; prices and
sizes are in the venue's LISTED unit (one `1000PEPE` is 1000 PEPE); quote amounts are in the quote currency (taken as USD).
NaN (or -1 for counts) marks a value that the store doesn't hold; a bundle that the store doesn't hold at all is None.

This module only has types: there is nothing to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

MS_HOUR = 3_600_000

PriceKind = Literal["trade", "mark", "index"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Listing:
    """One perpetual future as one venue lists it."""

    venue: str  # the name that the venue's module asks the store by
    listed: str  # coin as the venue lists it: 'BTC', '1000PEPE', 'kPEPE'
    base: str  # whole-coin asset: 'PEPE'
    multiplier: int  # whole coins in one listed unit: 1000 for '1000PEPE' and 'kPEPE', else 1
    listed_at: int  # ms
    delisted_at: int | None  # ms; None = still trading
    funding_interval_hours: tuple[tuple[int, int], ...]  # ((from_ms, hours), ...), ascending; the last is valid now


@dataclass(frozen=True)
class Candles:
    """Hourly bars; arrays of equal length."""

    opened_at: Ints  # ms
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats  # listed base units; NaN = the store lacks it
    quote_volume: Floats  # quote currency; NaN = the store lacks it
    trades: Ints  # count; -1 = the store lacks it


@dataclass(frozen=True)
class Funding:
    """Settled funding; arrays of equal length."""

    settled_at: Ints  # ms as the venue stamps it, jitter included
    rate: Floats  # fraction per interval; positive = longs pay shorts
    mark: Floats  # mark price at the settlement; NaN = the store lacks it


@dataclass(frozen=True)
class OpenInterest:
    """Open interest at hourly instants; arrays of equal length."""

    observed_at: Ints  # ms
    size: Floats  # listed base units, one-sided (each open contract counted once)
    mark: Floats  # mark price at the instant; may be a proxy, see the store


@dataclass(frozen=True)
class Liquidations:
    """Forced closes; arrays of equal length. Times ascend but need not be unique."""

    time: Ints  # ms
    long: Bools  # True = a long position was closed by force (a forced sale)
    price: Floats
    size: Floats  # listed base units


@dataclass(frozen=True)
class Profile:
    """What makes one venue of the synthetic market different from another. Its module says it (`Venue.profile`)."""

    share: float  # of the open interest that the first four venues have together
    tilt: float = 0.0  # of the premium
    jitter_ms: int = 0  # funding stamps come up to this late
    decimals: int = 8  # of a funding rate
    hours: int = 8  # funding interval where the next two say nothing
    four_hourly: tuple[str, ...] = ()  # assets that settle every 4 hours
    changing: Mapping[str, int] = field(default_factory=dict)  # assets that settle every 4 hours in every third month, and which
    interest: bool = True  # whether the rate has an interest part
    thousand: str = ""  # how it names the unit of 1000 PEPE; "" = lists whole coins
    lists: tuple[str, ...] = ()  # the assets that it lists; () = all


class MarketStore(Protocol):
    """Market data by venue; None = the store doesn't hold that bundle."""

    origin: str
    """Where the data comes from, e.g. 'synthetic; seed=7': sent with every answer of the emulator."""

    def listings(self, venue: str) -> list[Listing]:
        """Everything that `venue` lists or once listed; [] for a venue that the store doesn't hold."""
        ...

    def candles(self, venue: str, listed: str, kind: PriceKind) -> Candles | None:
        """Hourly bars of trades, of the mark price or of the index price."""
        ...

    def funding(self, venue: str, listed: str) -> Funding | None:
        """Settled funding rates."""
        ...

    def running_rate(self, venue: str, listed: str, at: int) -> float | None:
        """Estimate at instant `at` (ms) of the rate for the interval that ends next."""
        ...

    def open_interest(self, venue: str, listed: str) -> OpenInterest | None:
        """Open interest, hourly."""
        ...

    def liquidations(self, venue: str, listed: str) -> Liquidations | None:
        """Single forced closes."""
        ...

    def extend(self, until: int) -> None:
        """Make data available up to the instant `until` (ms); a store of recorded data does nothing."""
        ...
