"""One synthetic market behind one emulator for the tests of all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest

from infra.emulator.cases import cases
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.sources.handmade import START, HandMade
from tests.sources.kit import DAY, NOW, prefix, through_ccxt


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


@pytest.fixture(scope="session")
def exchanges(_served: Served) -> Callable[[str], Any]:
    """ccxt's exchange of a source, as the cases describe it, its markets loaded from the emulator."""
    pytest.importorskip("ccxt")

    @cache
    def exchange(name: str) -> Any:
        client = cases(name).ccxt
        assert client
        methods = {method: partial(_value, value) for method, value in client.replaced.items()}
        return through_ccxt(client.exchange, _served, client.host, prefix(name), **client.options, **methods)

    return exchange


def _value(value: Any, *arguments: Any) -> Any:
    """A method of ccxt that is replaced by a value."""
    return value
