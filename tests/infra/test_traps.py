"""Faults put one at a time into good series are named for what they are, where they are; good series have none."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import numpy as np
import pandas as pd
import pytest

from infra.bench.traps import END, HOUR, MODELS, RECORDED, TRAPS, Trap, faults, good, is_named, recorded, sprung, synthetic

#: What these series can't show: the recorded have no liquidations; the synthetic market draws positions and rates by chance.
UNSEEN = {
    "synthetic": {"rates stamped at the start", "hourly rates half a day early", "open interest five hours late"},
    "recorded": {"hourly rates half a day early", "sides of liquidations swapped"},
}
absent = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded series are absent: ../shared/recordings/series")
SERIES = [pytest.param(synthetic, id="synthetic"), pytest.param(recorded, id="recorded", marks=[absent, pytest.mark.slow])]


@pytest.fixture(scope="module", params=SERIES)
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


@pytest.mark.parametrize("trap", TRAPS[::12], ids=lambda trap: trap.name)
def test_a_month_is_judged_the_same_in_a_run_of_its_own(trap: Trap, series: tuple[str, duckdb.DuckDBPyConnection]) -> None:
    """The rows of October, which is judged with September, after a whole build and after one that began in October."""
    connection = series[1]

    def october(since: str) -> set[tuple[object, ...]]:
        faults(connection, since)
        every = " union all ".join(f"select * from {model} where month = '2025-10-01'" for model in MODELS[:-1])
        return set(connection.execute(every).fetchall())

    connection.begin()
    try:
        connection.execute(trap.sql)
        whole = october("")
        assert (whole or trap.name in UNSEEN[series[0]]) and october("2025-10-01") == whole
    finally:
        connection.rollback()


@pytest.mark.parametrize(("step", "named"), [(30, True), (9, False)], ids=["three times the volume", "within the volume"])
def test_open_interest_that_changes_by_more_than_the_volume_is_of_another_unit(step: int, named: bool) -> None:
    """Positions change by at most what is traded (Giagkiozis and Said, Ledger 9, 2024): 10 coins an hour of 1,000."""
    hours = pd.DataFrame({"venue": "binance", "asset": "BTC", "n": range(48)}).assign(ms=lambda h: END - (48 - h["n"]) * HOUR)
    price = 100 + hours["n"] % 5 * 0.01
    bars = hours.assign(open=price, high=price + 1, low=price - 1, close=price, volume=10.0, quote=None, mark=None)
    held = hours.assign(size=1000.0 + hours["n"] % 2 * step + hours["n"] * 0.001, mark=price, method="venue_mark")
    others = {
        "funding": hours.assign(rate=1e-5, hours=1)[:0],
        "liquidations": hours.assign(is_long=True, price=1.0, size=1.0)[:0],
    }
    connection = good({"candles": bars, "open_interest": held, **others})
    assert faults(connection) == ({("binance", "unit")} if named else set())
    said = connection.execute("select finding from int_series_faults").fetchall()
    assert [text for (text,) in said] == ["changes by more than the volume in 47 of 47 hours, by 3 times at the median: another "
                                          "unit than the volume's"][: len(said)]  # fmt: skip


@pytest.mark.parametrize(("ratio", "coins", "named"), [(1000, 1000, True), (0.01, 0.01, True), (0.1, 1, False), (7, 7, False)])
def test_a_redenominated_coin_is_another_one(ratio: float, coins: float, named: bool) -> None:
    """The price jumps by a power of ten, the coins traded by its inverse; a collapse to a tenth has as many coins as before."""
    hours = pd.DataFrame({"venue": "binance", "asset": "BTC", "n": range(96)}).assign(ms=lambda h: END - (96 - h["n"]) * HOUR)
    after = hours["n"] >= 48
    price = 0.5 * (1 + 0.01 * np.sin(hours["n"])) * np.where(after, ratio, 1)
    traded = 1e5 * (1 + 0.1 * np.cos(hours["n"])) / np.where(after, coins, 1)
    bars = hours.assign(open=price, high=price * 1.01, low=price * 0.99, close=price, volume=traded, quote=None, mark=None)
    others = {
        "open_interest": hours.assign(size=1.0, mark=1.0, method="venue_mark")[:0],
        "funding": hours.assign(rate=1e-5, hours=1)[:0],
        "liquidations": hours.assign(is_long=True, price=1.0, size=1.0)[:0],
    }
    connection = good({"candles": bars, **others})
    assert faults(connection) == ({("binance", "identity")} if named else set())
    if named:
        days = connection.execute("select first_day, last_day from int_series_faults").fetchall()
        assert [str(day) for day in days[0]] == ["2025-10-28", "2025-10-30"], "up to the day of the jump"


def test_thirty_of_thirty_six_are_named() -> None:
    assert len(TRAPS) == 36 and all(len(TRAPS) - len(unseen) >= 30 for unseen in UNSEEN.values())


def small(
    venues: dict[str, tuple[float, float]], sizes: Callable[[np.ndarray], np.ndarray] = lambda n: 1 + n * 1e-4
) -> duckdb.DuckDBPyConnection:
    """Six days of BTC at 100 dollars: by venue the coins traded an hour and the coins held, which move as `sizes` of the hour."""
    hours = pd.concat([pd.DataFrame({"venue": venue, "asset": "BTC", "n": range(144)}) for venue in venues], ignore_index=True)
    hours["ms"] = END - (144 - hours["n"]) * HOUR
    price = 100 + hours["n"] % 5 * 0.01
    traded, held = ([values[at] for values in venues.values() for _ in range(144)] for at in (0, 1))
    bars = hours.assign(open=price, high=price + 1, low=price - 1, close=price, volume=traded, quote=None, mark=None)
    bars["volume"] += hours["n"] % 7 * 1e-3
    positions = hours.assign(size=held * sizes(hours["n"].to_numpy()), mark=price, method="venue_mark")
    others = {
        "funding": hours.assign(rate=1e-5, hours=1)[:0],
        "liquidations": hours.assign(is_long=True, price=1.0, size=1.0)[:0],
    }
    return good({"candles": bars, "open_interest": positions, **others})


def test_open_interest_that_jumps_to_another_unit_or_stands_still_is_named() -> None:
    at = {"binance": (100.0, 1000.0)}
    assert faults(small(at)) == set()
    assert faults(small(at, lambda n: (1 + n * 1e-4) * np.where(n < 80, 1, 0.001))) >= {("binance", "unit")}
    assert faults(small(at, lambda n: (1 + n * 1e-4) * np.where(n < 80, 1, 2))) == {("binance", "side")}
    assert faults(small(at, lambda n: 1 + np.where((n > 60) & (n < 90), 60, n) * 1e-4)) == {("binance", "repetition")}
    assert faults(small(at, lambda n: 1 + np.where((n > 60) & (n < 70), 60, n) * 1e-4)) == set()


def test_a_large_venue_beside_a_small_one_is_no_fault() -> None:
    """Three hundred times the volume of the only other venue, and of the open interest: a large venue. Without it: an error."""
    assert faults(small({"binance": (30_000.0, 300_000.0), "kraken": (100.0, 1000.0)})) == set()
    assert ("binance", "unit") in faults(small({"binance": (30_000.0, 1000.0), "kraken": (100.0, 1000.0)}))
