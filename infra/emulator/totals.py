"""The emulator's venues summed up by day: what aggregators tell of the market, from the same store as the venues' own answers.

    Totals(world).days("BTC")

Shape: one `Day` per UTC day that the store has whole. Nothing to run alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from infra.emulator.market import Market, World
from infra.emulator.store import MS_HOUR, Listing

DAY = 24 * MS_HOUR


@dataclass
class Day:
    """One asset's day over all venues: US dollars, one-sided, open interest at the day's end; the last rates by weight."""

    oi: float = 0.0
    volume: float = 0.0
    longs: float = 0.0
    shorts: float = 0.0
    rates: list[tuple[float, float]] = field(default_factory=list)  # (rate per interval, weight)

    @property
    def rate(self) -> float | None:
        """Weighted by open interest; None where nothing was settled."""
        weight = sum(w for _, w in self.rates)
        return sum(r * w for r, w in self.rates) / weight if weight else None


class Totals:
    """Sums over the named markets."""

    def __init__(self, world: World, names: tuple[str, ...]) -> None:
        self.world, self.names = world, names

    def days(self, base: str, now: int) -> dict[int, Day]:
        """By the day's start, in ms: the days that are over, oldest first."""
        days: dict[int, Day] = defaultdict(Day)
        for name in self.names:
            market = self.world.market(name)
            for listing in market.listings(now):
                if listing.base == base:
                    _add(days, market, listing)
        return {day: days[day] for day in sorted(days) if day + DAY <= now and days[day].oi > 0}


def _add(days: dict[int, Day], market: Market, listing: Listing) -> None:
    oi, funding = market.open_interest(listing.listed), market.funding(listing.listed)
    bars, forced = market.candles(listing.listed, "trade"), market.liquidations(listing.listed)
    weights: dict[int, float] = {}
    if oi is not None:
        at = np.flatnonzero((oi.observed_at % DAY == 0) & ~np.isnan(oi.size * oi.mark))
        weights = dict(zip((oi.observed_at[at] - DAY).tolist(), (oi.size * oi.mark)[at].tolist(), strict=True))
        for day, value in weights.items():
            days[day].oi += value
    if bars is not None:
        for day in np.unique(bars.opened_at // DAY * DAY).tolist():
            days[day].volume += float(np.nansum(bars.quote_volume[bars.opened_at // DAY * DAY == day]))
    if forced is not None:
        for day in np.unique(forced.time // DAY * DAY).tolist():
            inside = forced.time // DAY * DAY == day
            worth = forced.price * forced.size
            days[day].longs += float(worth[inside & forced.long].sum())
            days[day].shorts += float(worth[inside & ~forced.long].sum())
    if funding is not None:
        # What settles at midnight closes the day.
        settled_on = (funding.settled_at - MS_HOUR // 60) // DAY * DAY
        last = dict(zip(settled_on.tolist(), funding.rate.tolist(), strict=True))
        for day, rate in last.items():
            if day in weights:
                days[day].rates.append((rate, weights[day]))
