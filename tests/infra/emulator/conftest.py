"""One synthetic market served for all tests of the emulator, and a small hand-made store for what is missing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.sources.handmade import CLOSE, HOURS, START, HandMade

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


@pytest.fixture(scope="session")
def bare() -> Iterator[Served]:
    with serve(HandMade(), as_of=START + 4 * MS_HOUR) as served:
        yield served


__all__ = ["CLOSE", "DAYS", "HOURS", "NOW", "SINCE", "START", "ErrorBody", "ask", "seen"]
