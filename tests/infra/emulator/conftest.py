"""One synthetic market served for all tests of the emulator, and a small hand-made store for what is missing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from infra.emulator.store import MS_HOUR, Candles, Funding, Liquidations, Listing, OpenInterest
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve

NOW = 1_795_350_600_000  # 2026-11-22T12:30Z
DAYS = 120
SINCE = NOW // (24 * MS_HOUR) * 24 * MS_HOUR - DAYS * 24 * MS_HOUR


@pytest.fixture(scope="session")
def store() -> SyntheticMarket:
    market = SyntheticMarket(seed=7, until=NOW)
    market.extend(NOW + 48 * MS_HOUR)  # more than may be shown
    return market


@pytest.fixture(scope="session")
def emulator(store: SyntheticMarket) -> Iterator[Served]:
    with serve(store, as_of=NOW, days=DAYS, limits_scale=1e6) as served:
        yield served


@pytest.fixture(scope="session")
def unlimited(store: SyntheticMarket) -> Iterator[Served]:
    """The whole of the store's history, without the venues' limits on history."""
    with serve(store, as_of=NOW, limits_scale=1e6, history_limits=False) as served:
        yield served


@dataclass(frozen=True)
class ErrorBody:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, content: object = None, **params: object) -> ErrorBody:
    """GET with `params`, or POST of `content` as JSON; errors come back as they are."""
    data = None if content is None else json.dumps(content).encode()
    where = url + ("?" + urlencode(params) if params else "")
    request = urllib.request.Request(where, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return ErrorBody(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as problem:
        return ErrorBody(problem.code, dict(problem.headers), problem.read())


def seen(bundle: Any, until: int, since: int = SINCE) -> dict[str, np.ndarray]:
    """The fields of a bundle with since <= time <= until."""
    arrays = dict(vars(bundle))
    times = next(iter(arrays.values()))
    shown = (times >= since) & (times <= until)
    return {name: values[shown] for name, values in arrays.items()}


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


@pytest.fixture(scope="session")
def bare() -> Iterator[Served]:
    with serve(HandMade(), as_of=START + 4 * MS_HOUR) as served:
        yield served
