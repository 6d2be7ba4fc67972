"""Order books of the emulator: synthetic, around the mark price, the same for ever for one seed, instrument and minute.

Sizes grow with the distance from the mid, and vary from level to level; in an hour of wide range, as in a crash, all of a book
is thinner and its spread wider. A recording has no books either: those that it shows are as synthetic. Nothing to run alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infra.emulator.market import Snapshot, latest
from infra.emulator.rendering import tick

#: Levels of a side, and the distance of two of them as a share of the price: a side reaches 3 %.
LEVELS, STEP = 2500, 1.2e-5
#: Of open interest, what lies within a side.
SHARE = 0.02


@dataclass(frozen=True)
class Books:
    """Both sides, the best price first: prices in quote currency, sizes in listed coins."""

    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]

    def sides(
        self, level: Callable[[float, float], object], most: int | None = None, bids: str = "bids", asks: str = "asks"
    ) -> dict[str, list[object]]:
        """The best `most` levels of both sides under the venue's names, each as `level` renders price and size."""
        named = {bids: self.bids, asks: self.asks}
        return {name: [level(price, size) for price, size in levels[:most]] for name, levels in named.items()}


def books(at: Snapshot) -> Books:
    """The books of an instrument at an instant; empty where it has no price."""
    market, listed = at.market, at.listing.listed
    mark = at.mark if at.mark == at.mark else latest(market.open_interest(listed), "mark", at.now)
    if mark != mark:
        return Books([], [])
    unit = tick(mark)
    step = max(1, round(mark * STEP / unit))
    stress = _stress(at)
    places = np.arange(LEVELS)
    sides = []
    for side, sign in (("bid", -1), ("ask", 1)):
        key = zlib.crc32(f"{market.store.origin} {market.venue} {listed} {side}".encode())
        noise = np.random.Generator(np.random.Philox(key=[key, at.now // 60_000])).uniform(0.2, 1.8, LEVELS)
        weights = noise * (1 + places / 400)
        size = at.size if at.size == at.size else 1e6 / mark
        sizes = size * SHARE / stress * weights / (1 + np.arange(LEVELS) / 400).sum()
        ticks = round(mark / unit) + sign * (1 + round(step * stress / 2) + step * places)
        prices = [float(f"{price:.12g}") for price in (ticks * unit).tolist()]
        rounded = [float(f"{size:.4g}") for size in sizes.tolist()]
        sides.append([(price, size) for price, size in zip(prices, rounded, strict=True) if price > 0 and size > 0])
    return Books(*sides)


def _stress(at: Snapshot) -> float:
    """1 in a calm hour, and the more the wider the last hour's range: 11 after one of 10 %."""
    day = at.day
    return 1.0 if day is None else 1 + 100 * float((day.high[-1] - day.low[-1]) / day.close[-1])
