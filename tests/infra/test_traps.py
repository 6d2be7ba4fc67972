"""Faults put one at a time into good series are named for what they are, where they are; good series have none."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pandas as pd
import pytest

from infra.bench.traps import RECORDED, TRAPS, Trap, faults, good, is_named, recorded, sprung, synthetic

#: What these series can't show: the recorded have no liquidations; the synthetic market draws positions and rates by chance.
UNSEEN = {
    "synthetic": {"rates stamped at the start", "hourly rates half a day early", "open interest five hours late"},
    "recorded": {"hourly rates half a day early", "sides of liquidations swapped"},
}
absent = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded series are absent: ../shared/recordings/series")


@pytest.fixture(scope="module", params=[synthetic, pytest.param(recorded, marks=absent)], ids=["synthetic", "recorded"])
def series(request: pytest.FixtureRequest) -> tuple[str, duckdb.DuckDBPyConnection]:
    make: Callable[[], dict[str, pd.DataFrame]] = request.param
    return make.__name__, good(make())


def test_good_series_have_no_fault(series: tuple[str, duckdb.DuckDBPyConnection]) -> None:
    assert faults(series[1]) == set()


@absent
def test_ten_months_of_five_coins_have_no_fault() -> None:
    """With the crash of 10 October and the squeezes of HYPE."""
    end = 1_767_225_600_000
    assert faults(good(recorded(("BTC", "ETH", "SOL", "DOGE", "HYPE"), days=300, end=end))) == set()


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_is_named_at_its_venue(trap: Trap, series: tuple[str, duckdb.DuckDBPyConnection]) -> None:
    name, connection = series
    assert is_named(trap, sprung(connection, trap)) is (trap.name not in UNSEEN[name])


def test_thirty_of_thirty_six_are_named() -> None:
    assert len(TRAPS) == 36 and all(len(TRAPS) - len(unseen) >= 30 for unseen in UNSEEN.values())
