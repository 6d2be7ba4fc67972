"""What vendors carry of the emulator's venues: an instrument hour by hour, in the venue's own names and units.

    Carried(world, "bybit").hours("BTC", start, end, now)

Shape: one `Hour` for each hour that is over. Nothing to run alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from infra.emulator.market import World
from infra.emulator.rendering import number
from infra.emulator.store import MS_HOUR, Listing

#: The venues: how each writes an instrument, and how many sides its open interest counts.
VENUES: Mapping[str, tuple[str, int]] = {"binance": ("{}USDT", 1), "bybit": ("{}USDT", 2)}


@dataclass(frozen=True)
class Hour:
    """`opened_at` in ms; `oi` and `rate` at the hour's end, None where the store lacks them."""

    opened_at: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    oi: float | None
    rate: float | None


class Carried:
    """One venue, as a vendor sees it. Raises KeyError for another."""

    def __init__(self, world: World, venue: str) -> None:
        self.pattern, self.sides = VENUES[venue]
        self.market = world.market(venue)

    def listings(self, now: int) -> list[Listing]:
        return [x for x in self.market.listings(now) if x.delisted_at is None or x.delisted_at > now]

    def native(self, listing: Listing) -> str:
        """The venue's own name for an instrument."""
        return self.pattern.format(listing.listed)

    def hours(self, listed: str, start: int, end: int, now: int) -> Iterator[Hour]:
        """The hours that open in start <= time < end and are over."""
        bars, oi_series = self.market.candles(listed, "trade"), self.market.open_interest(listed)
        if bars is None:
            return
        low, high = np.searchsorted(bars.opened_at, [start, min(end, now - MS_HOUR + 1)])
        for n in range(int(low), int(high)):
            at = int(bars.opened_at[n])
            oi = None
            if oi_series is not None:
                position = np.searchsorted(oi_series.observed_at, at + MS_HOUR)
                if position < len(oi_series.observed_at) and oi_series.observed_at[position] == at + MS_HOUR:
                    oi = number(float(oi_series.size[position]) * self.sides)
            rate = number(self.market.running_rate(listed, at + MS_HOUR))
            opened, highest, lowest, closed = (float(x[n]) for x in (bars.open, bars.high, bars.low, bars.close))
            yield Hour(at, opened, highest, lowest, closed, float(bars.volume[n]), oi, rate)
