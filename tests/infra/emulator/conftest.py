"""One synthetic market behind an emulator, and a plain client, for the tests of the emulator's own machinery."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve

NOW = 1_795_350_600_000  # 2026-11-22T12:30Z


@pytest.fixture(scope="session")
def store() -> SyntheticMarket:
    market = SyntheticMarket(seed=7, until=NOW)
    market.extend(NOW + 48 * MS_HOUR)  # more than may be shown
    return market


@pytest.fixture(scope="session")
def emulator(store: SyntheticMarket) -> Iterator[Served]:
    with serve(store, as_of=NOW, days=120, limits_scale=1e6) as served:
        yield served


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, content: object = None, **params: object) -> Reply:
    """GET with `params`, or POST of `content` as JSON; errors come back as they are."""
    data = None if content is None else json.dumps(content).encode()
    where = url + ("?" + urlencode(params) if params else "")
    request = urllib.request.Request(where, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Reply(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as problem:
        return Reply(problem.code, dict(problem.headers), problem.read())
