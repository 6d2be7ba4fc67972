"""One synthetic market behind one emulator for the tests of all sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.sources.handmade import START, HandMade
from tests.sources.kit import DAY, NOW


@pytest.fixture(scope="session")
def store() -> SyntheticMarket:
    market = SyntheticMarket(seed=7, until=NOW)
    market.extend(NOW + 2 * DAY)
    return market


@pytest.fixture(scope="session")
def _served(store: SyntheticMarket) -> Iterator[Served]:
    with serve(store, as_of=NOW, days=120, limits_scale=1e6) as served:
        yield served


@pytest.fixture
def emulator(_served: Served) -> Served:
    _served.clear_faults()
    return _served


@pytest.fixture(scope="session")
def bare() -> Iterator[Served]:
    """The market made by hand."""
    with serve(HandMade(), as_of=START + 4 * MS_HOUR) as served:
        yield served
