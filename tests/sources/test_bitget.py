"""Bitget's traps: windows of bars with several readings, funding in numbered pages, liquidations by cursor, dated futures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.bitget import Bitget, Reading
from pipelines.source import Instrument, Request
from pipelines.sources.bitget import SOURCE, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, fetch_from_emulator, load_and_query, next_request, store_rows


def enveloped(*rows: Any) -> dict[str, Any]:
    return {"code": "00000", "msg": "success", "requestTime": NOW, "data": list(rows)}


def settled(*hours: int) -> dict[str, Any]:
    return enveloped(*({"symbol": "B", "fundingRate": "0.0001", "fundingTime": str(NOW - h * MS_HOUR)} for h in hours))


def test_funding_is_paged_until_it_reaches_before_the_window() -> None:
    request = Request("/", {"pageSize": 3, "pageNo": 2}, window=WINDOW, clip_start=True, clip_end=True)
    assert (more := next_request("bitget", "funding_rates", request, settled(32, 40, 48))) and more.params["pageNo"] == 3
    assert next_request("bitget", "funding_rates", request, settled(40, 48, 56)) is None, "the last is before the window"
    assert next_request("bitget", "funding_rates", request, settled(40, 48)), "a short page may have been cut"
    assert next_request("bitget", "funding_rates", request, settled()) is None


def test_liquidations_are_followed_by_cursor_until_a_row_from_before_the_window() -> None:
    [request] = SOURCE.endpoint("liquidations").plan(Instrument("BTCUSDT", "BTC"), WINDOW)
    assert request.clip_start and request.clip_end
    row = {"symbol": "BTCUSDT", "side": "buy", "price": "1", "amount": "1", "ts": str(WINDOW.start)}
    more = next_request("bitget", "liquidations", request, {"data": {"list": [row], "cursor": "x1"}})
    assert more and more.params["cursor"] == "x1"
    early = row | {"ts": str(WINDOW.start - 1)}
    for last in ({"list": [row], "cursor": ""}, {"list": [early], "cursor": "x2"}, {"list": [], "cursor": "x3"}):
        assert next_request("bitget", "liquidations", request, {"data": last}) is None


def test_in_the_sample_a_liquidations_amount_is_its_value_in_usdt() -> None:
    """By arithmetic: a whole step of the coin times the price. Two clients read coins, so the unit is no verified fact."""
    row = {"symbol": "APEUSDT", "side": "buy", "price": "0.1649", "amount": "13.70319", "ts": "1777358886549"}
    endpoint = SOURCE.endpoint("liquidations")
    [found] = endpoint.rows(endpoint.read(json.dumps({"code": "00000", "data": {"list": [row], "cursor": None}}).encode()))
    assert found.amount / found.price == pytest.approx(83.1)


@pytest.mark.parametrize("reading", get_args(Reading))
def test_bars_are_whole_under_each_reading_of_a_window(
    reading: Reading, emulator: Served, store: SyntheticMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documentation of two versions and a client differ in which bars a window has; the loader has exactly its own."""
    monkeypatch.setattr(Bitget, "reading", reading)
    window = Window(NOW - 210 * MS_HOUR, NOW)
    query = load_and_query("bitget", emulator, tmp_path, window=window, assets=["BTC"])
    bars = query("select open_time, close from raw.bitget__candles order by 1")
    assert bars == [(row[0], row[4]) for row in store_rows(store.candles("bitget", "BTC", "trade"), window)]
    assert len(bars) == 210
    assert query("select count(*), min(open_time) from raw.bitget__mark_candles") == [(210, window.start)]


def test_instruments_are_the_perpetuals_quoted_in_usdt() -> None:
    contract = {"baseCoin": "BTC", "quoteCoin": "USDT", "symbolType": "perpetual", "symbolStatus": "normal"}
    page = enveloped(
        {"symbol": "BTCUSDT", **contract},
        {"symbol": "1000BONKUSDT", **contract, "baseCoin": "1000BONK"},
        {"symbol": "BTCUSDT_231229", **contract, "symbolType": "delivery"},
        {"symbol": "BTCPERP", **contract, "quoteCoin": "USDC"},
    )
    found = instruments(SOURCE.endpoint("instruments").read(json.dumps(page).encode()))
    assert [(i.symbol, i.base_asset) for i in found] == [("BTCUSDT", "BTC"), ("1000BONKUSDT", "BONK")]


def test_the_first_page_of_a_later_window_is_requested_again(emulator: Served, tmp_path: Path) -> None:
    """Pages are numbered from the newest row: a day later the same request returns other rows."""
    requests = []
    for window in (Window(NOW - 3 * DAY, NOW - DAY), WINDOW, WINDOW):
        emulator.clear_requests()
        assert not fetch_from_emulator("bitget", emulator, tmp_path, window, assets=["BTC"])[1].failures
        requests.append(sum(r["path"].endswith("history-fund-rate") for r in emulator.requests()))
    assert requests == [1, 1, 0], "the same window a second time is read from landing"
