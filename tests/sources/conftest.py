"""One synthetic market behind one emulator for the tests of all sources, and one run of them all from HTTP to the marts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.cases import cases
from infra.emulator.server import to_ms
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.registry import source_rows
from tests.sources.handmade import START, HandMade
from tests.sources.kit import DAY, NOW, prefix, through_ccxt
from tests.whole import AS_OF, DAYS, perps, window


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


@dataclass(frozen=True)
class EverySource:
    """A run of all sources but archives of others on a market, four venues by ccxt too: its home and its output."""

    market: SyntheticMarket
    home: Path
    output: str


#: A Tuesday's report of the CFTC is out on the Friday: the days from the Monday before it on.
FIRST_DAY = "2025-06-02"
BY_CCXT = "binanceusdm,bybit,krakenfutures,okx"


@pytest.fixture(scope="session")
def every_source(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> EverySource:
    """One run; with `-k`, where only tests by source were chosen, a run of the venues of those."""
    home = tmp_path_factory.mktemp("every")
    market = SyntheticMarket(seed=7, until=to_ms(AS_OF))
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    cases = [getattr(test, "callspec", None) for test in tests if "every_source" in test.fixturenames]
    named = [name for name, row in source_rows().items() if row.by_name and not row.archive_of]
    venues = {source_rows()[case.params["name"]].venue if case and "name" in case.params else None for case in cases}
    chosen = {"venues": ",".join(["all", *named]), "ccxt_venues": f"{BY_CCXT},phemex"}
    if None not in venues:
        chosen = {"venues": ",".join([*sorted(filter(None, venues)), *named])}
    with serve(market, as_of=AS_OF, days=30, limits_scale=1e6) as served:
        ended = perps(home, served.url, *window(FIRST_DAY, DAYS[2]), assets="BTC,ETH,PEPE", report=False, **chosen)
    assert ended.status == 0, ended.output
    return EverySource(market, home, ended.output)


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
