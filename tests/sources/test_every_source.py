"""Every source of the table, from HTTP to the marts: what the tables say is what the store of the emulator holds.

The store counts one side, in coins as listed; the emulator renders it in each venue's own units, and the models have to find the
way back. So a contract size, a multiplier, a side counted twice or an hour too far shows here for every source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest

from infra.emulator.cases import cases
from infra.emulator.store import MS_HOUR, PriceKind
from infra.emulator.synthetic import SyntheticMarket
from pipelines.registry import source_rows
from pipelines.sources import get_source
from tests.sources.conftest import FIRST_DAY, EverySource
from tests.sources.kit import market_name
from tests.whole import AS_OF, DAYS, database

ASSETS = ("BTC", "PEPE")
PRICE_KINDS: tuple[PriceKind, ...] = ("mark", "index")
#: Contracts are whole numbers: what is less than one is lost on the wire.
ROUNDED = 2e-3
HOURS = 8 * 24
#: Those that a run asks for by default, to the end of the last one.
DAYS_OF_LIQUIDATIONS = (DAYS[0], AS_OF.removesuffix("Z"))
#: An archive of another source has no rows beside it, and a test of its own.
SOURCES = [name for name, row in source_rows().items() if market_name(name) and "candles" in row.datasets and not row.archive_of]

#: Those that are asked for liquidations, not only listened to.
OF_LIQUIDATIONS = [
    name
    for name, row in source_rows().items()
    if market_name(name) and not row.archive_of and "liquidations" in {endpoint.name for endpoint in get_source(name).endpoints}
]
#: What unit its sizes have is not known, so they are null in coins.
OF_UNKNOWN_SIZE = {"bitget"}


@pytest.fixture(scope="module")
def store(every_source: EverySource) -> SyntheticMarket:
    return every_source.market


@pytest.fixture(scope="module")
def marts(every_source: EverySource) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(database(every_source.home)), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def rows_of(marts: duckdb.DuckDBPyConnection, table_: str, name: str, base: str, time: str, *columns: str) -> dict[str, Any]:
    """Columns of a mart as arrays, times in ms."""
    sql = (
        f"select epoch_ms({time}) as at, {', '.join(columns)} from marts.{table_} where source = ? and base_asset = ? order by 1"
    )
    return {k: np.ma.filled(v, np.nan) for k, v in marts.execute(sql, [name, base]).fetchnumpy().items()}


def truth(store: SyntheticMarket, name: str, base: str) -> tuple[str, str, int]:
    """The store's name of the venue, of the coin, and the multiplier; skips what the venue doesn't list."""
    venue = market_name(name) or ""
    for listing in store.listings(venue):
        if listing.base == base:
            return venue, listing.listed, listing.multiplier
    pytest.skip(f"{venue} does not list {base}")


@pytest.mark.parametrize("base", ASSETS)
@pytest.mark.parametrize("name", SOURCES)
def test_candles(name: str, base: str, marts: duckdb.DuckDBPyConnection, store: SyntheticMarket) -> None:
    venue, listed, multiplier = truth(store, name, base)
    bars = store.candles(venue, listed, "trade")
    assert bars is not None
    columns = ("open", "high", "low", "close", "volume_base", "volume_usd", "mark_close", "index_close")
    found = rows_of(marts, "fct_candles", name, base, "opened_at", *columns)
    here = np.isin(bars.opened_at, found["at"])
    assert len(found["at"]) == HOURS == here.sum()
    for column in ("open", "high", "low", "close"):
        np.testing.assert_allclose(found[column] * multiplier, getattr(bars, column)[here], rtol=1e-9)
    np.testing.assert_allclose(found["volume_base"], bars.volume[here] * multiplier, rtol=ROUNDED)
    # Where a venue states no turnover it is volume times the typical price.
    np.testing.assert_allclose(found["volume_usd"], bars.quote_volume[here], rtol=0.02)
    for kind in PRICE_KINDS:
        prices = store.candles(venue, listed, kind)
        if f"{kind}_candles" in [endpoint.name for endpoint in get_source(name).endpoints] and prices is not None:
            np.testing.assert_allclose(found[f"{kind}_close"] * multiplier, prices.close[here], rtol=1e-9)


@pytest.mark.parametrize("base", ASSETS)
@pytest.mark.parametrize("name", [n for n in SOURCES if "funding_rates" in source_rows()[n].datasets])
def test_funding(name: str, base: str, marts: duckdb.DuckDBPyConnection, store: SyntheticMarket) -> None:
    venue, listed, _ = truth(store, name, base)
    funding = store.funding(venue, listed)
    assert funding is not None
    found = rows_of(marts, "fct_funding_rates", name, base, "settled_at", "rate_interval", "rate_8h", "interval_hours")
    at = funding.settled_at // MS_HOUR * MS_HOUR
    here = np.isin(at, found["at"])
    first, last = (int(np.datetime64(day, "ms").astype(int)) for day in (FIRST_DAY, "2025-06-10"))
    np.testing.assert_array_equal(at[(at >= first) & (at < last)], found["at"])
    np.testing.assert_allclose(found["rate_interval"], funding.rate[here], rtol=1e-9)
    hours = np.diff(at).max() // MS_HOUR if len(set(np.diff(at[here]))) == 1 else found["interval_hours"]
    np.testing.assert_array_equal(found["interval_hours"], hours * np.ones(len(found["at"])))


@pytest.mark.parametrize("base", ASSETS)
@pytest.mark.parametrize("name", [n for n in SOURCES if {"open_interest", "open_interest_now"} & set(source_rows()[n].datasets)])
def test_open_interest(name: str, base: str, marts: duckdb.DuckDBPyConnection, store: SyntheticMarket) -> None:
    venue, listed, multiplier = truth(store, name, base)
    stored = store.open_interest(venue, listed)
    assert stored is not None
    found = rows_of(marts, "fct_open_interest", name, base, "observed_at", "oi_base", "oi_usd")
    here = np.isin(stored.observed_at, found["at"])
    assert here.sum() == len(found["at"]) >= 1
    # The first hour has no bar before it to be valued at: of a linear contract its dollars lack, of an inverse one its coins.
    for column, true in (("oi_base", stored.size * multiplier), ("oi_usd", stored.size * stored.mark)):
        known = ~np.isnan(found[column])
        assert known[1:].all()
        np.testing.assert_allclose(found[column][known], true[here][known], rtol=ROUNDED if column == "oi_base" else 0.02)


@pytest.mark.parametrize("base", ASSETS)
@pytest.mark.parametrize("name", [n for n in SOURCES if "running_rates" in source_rows()[n].datasets])
def test_running_rates(name: str, base: str, marts: duckdb.DuckDBPyConnection, store: SyntheticMarket) -> None:
    venue, listed, _ = truth(store, name, base)
    found = rows_of(marts, "fct_running_rates", name, base, "observed_at", "rate_interval")
    now = int(np.datetime64(AS_OF.rstrip("Z"), "ms").astype(int))
    assert found["at"].tolist() == [now]
    np.testing.assert_allclose(found["rate_interval"], [store.running_rate(venue, listed, now)], rtol=1e-9)


@pytest.mark.parametrize("base", ASSETS)
@pytest.mark.parametrize("name", OF_LIQUIDATIONS)
def test_liquidations(name: str, base: str, marts: duckdb.DuckDBPyConnection, store: SyntheticMarket) -> None:
    """Each event once, with its side; a venue whose unit of sizes is not known has no size in coins."""
    venue, listed, multiplier = truth(store, name, base)
    forced = store.liquidations(venue, listed)
    assert forced is not None
    found = rows_of(
        marts, "fct_liquidations", name, base, "liquidated_at", "size_base", "price", "liquidated_side = 'long' as long"
    )
    first, last = (int(np.datetime64(day, "ms").astype(int)) for day in DAYS_OF_LIQUIDATIONS)
    here, stated = (forced.time >= first) & (forced.time < last), cases(name).liquidations
    step = stated.resolution if stated else 1
    at, price, size = forced.time[here] // step * step, forced.price[here] / multiplier, forced.size[here] * multiplier
    assert len(found["at"]) == len(at) > 3
    true, ours = np.lexsort((size, price, at)), np.lexsort((found["size_base"], found["price"], found["at"]))
    np.testing.assert_array_equal(found["at"][ours], at[true])
    np.testing.assert_allclose(found["price"][ours], price[true], rtol=1e-9)
    np.testing.assert_array_equal(found["long"][ours], forced.long[here][true])
    np.testing.assert_allclose(found["size_base"][ours], size[true] * (np.nan if name in OF_UNKNOWN_SIZE else 1), rtol=1e-9)


def test_days_of_files_about_all_instruments_count_as_seen_whole(marts: duckdb.DuckDBPyConnection) -> None:
    days = marts.execute(
        "select day::varchar, seen = expected, comparable = expected from marts.coverage_daily"
        " where venue = 'hyperliquid' and dataset = 'liquidations' and seen > 0 order by day"
    ).fetchall()
    assert days == [(day, True, True) for day in DAYS]
