"""A small market made by hand, for what the synthetic one always has: closes alone, no volume, no marks, tiny prices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from infra.emulator.store import MS_HOUR, Candles, Funding, Liquidations, Listing, OpenInterest

START = 1_750_000_000_000 // MS_HOUR * MS_HOUR
HOURS = START + MS_HOUR * np.arange(4)
NAN = np.full(4, np.nan)
CLOSE = np.array([1.208e-05, 1.21e-05, 2.5e-07, 1.2e-05])


@dataclass
class HandMade:
    """One coin with prices too small for plain `repr`, closes only, no volume, no marks, one missing hour of funding."""

    origin: str = "recorded; by hand"
    extended: list[int] = field(default_factory=list)

    def listings(self, venue: str) -> list[Listing]:
        return [Listing(venue, "TINY", "TINY", 1, START, None, ((START, 8 if venue in ("binance", "bybit") else 1),))]

    def candles(self, venue: str, listed: str, kind: str) -> Candles | None:
        return Candles(HOURS, NAN, NAN, NAN, CLOSE, NAN, NAN, np.full(4, -1)) if kind == "trade" else None

    def funding(self, venue: str, listed: str) -> Funding | None:
        return Funding(HOURS, np.array([1e-05, -2.5e-06, 0.0, 1.25e-05]), NAN)

    def running_rate(self, venue: str, listed: str, at: int) -> float | None:
        return None

    def open_interest(self, venue: str, listed: str) -> OpenInterest | None:
        return OpenInterest(HOURS, np.array([1e21, 2e21, 3e21, 4e21]), CLOSE) if venue == "hyperliquid" else None

    def liquidations(self, venue: str, listed: str) -> Liquidations | None:
        return None

    def extend(self, until: int) -> None:
        self.extended.append(until)
