"""Bitget's traps: funding in numbered pages without a window, liquidations by cursor, dated futures in the list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.testing import Served
from pipelines.source import Instrument, Request
from pipelines.sources.bitget import SOURCE, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, fetch_from_emulator, next_request


def enveloped(*rows: Any) -> dict[str, Any]:
    return {"code": "00000", "msg": "success", "requestTime": NOW, "data": list(rows)}


def settled(*hours: int) -> dict[str, Any]:
    return enveloped(*({"symbol": "B", "fundingRate": "0.0001", "fundingTime": str(NOW - h * MS_HOUR)} for h in hours))


def test_funding_is_paged_until_it_reaches_before_the_window() -> None:
    request = Request("/", {"pageSize": 3, "pageNo": 2}, window=WINDOW, clip_start=True, clip_end=True)
    assert (more := next_request("bitget", "funding_rates", request, settled(32, 40, 48))) and more.params["pageNo"] == 3
    assert next_request("bitget", "funding_rates", request, settled(40, 48, 56)) is None, "the last is before the window"
    assert next_request("bitget", "funding_rates", request, settled(40, 48)) is None, "a short page is the last"
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


def test_a_liquidations_amount_is_its_value_in_usdt() -> None:
    """By the arithmetic of the documented row: its value is a whole step of the coin times its price."""
    row = {"symbol": "APEUSDT", "side": "buy", "price": "0.1649", "amount": "13.70319", "ts": "1777358886549"}
    endpoint = SOURCE.endpoint("liquidations")
    [found] = endpoint.rows(endpoint.read(json.dumps({"code": "00000", "data": {"list": [row], "cursor": None}}).encode()))
    assert found.amount / found.price == pytest.approx(83.1)


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
