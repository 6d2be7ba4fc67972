"""Liquidations by REST where a venue gives them by windows or pages of its own: Gate, Bitget, OKX.

Each is asked about the recorded sample of its page, about its store in full, and about pages that are full.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.gate import COINS_A_CONTRACT
from infra.emulator.venues.okx import CONTRACTS
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.windows import HOUR, Window
from tests.sources.kit import DAY, NOW, load_and_query, next_request, store_rows

THREE_DAYS = Window(NOW - 3 * DAY, NOW)
#: The instrument, the coin as the store lists it, and a query for what the store holds: time, whether long, price, size.
ASKED = {
    "gate": ("BTC_USDT", '"time", size > 0, fill_price, abs(size) * {}'.format(COINS_A_CONTRACT["BTC"])),
    "bitget": ("BTCUSDT", "ts, side = 'buy', price, amount / price"),
    "okx": ("BTC-USDT-SWAP", f"ts, side = 'sell', bk_px, sz * {CONTRACTS['BTC']}"),
}
WINDOW = Window(1760130000000, 1760133600000)  # 2025-10-10T21:00Z, an hour


def plan(name: str) -> list[Any]:
    return list(get_source(name).endpoint("liquidations").plan(Instrument(ASKED[name][0], "BTC"), WINDOW))


def test_the_requests_of_the_crash() -> None:
    """Gate's windows are an hour; OKX's bounds are exclusive; Bitget takes no window."""
    [gate], [bitget], [okx] = (plan(name) for name in ("gate", "bitget", "okx"))
    assert gate.path == "/api/v4/futures/usdt/liq_orders"
    assert gate.params == {"contract": "BTC_USDT", "from": 1760130000, "to": 1760133599, "limit": 1000}
    assert bitget.path == "/api/v3/market/liquidations" and bitget.clip_start and bitget.clip_end
    assert bitget.params == {"category": "USDT-FUTURES", "symbol": "BTCUSDT", "limit": 100}
    assert okx.path == "/api/v5/public/liquidation-orders"
    family = {"instType": "SWAP", "instFamily": "BTC-USDT", "state": "filled"}
    assert okx.params == family | {"before": 1760129999999, "after": 1760133600000, "limit": 100}
    assert all(r.weights for r in (gate, bitget, okx))


def test_samples_of_the_pages() -> None:
    """As they stand on the venues' pages."""
    row: dict[str, Any] = {"time": 1548654951, "contract": "BTC_USDT", "size": 600, "order_size": -600, "order_price": "3405"}
    [gate] = get_source("gate").endpoint("liquidations").read(json.dumps([row | {"fill_price": "3424", "left": 0}]).encode())
    assert (gate.time, gate.size, gate.order_size, gate.fill_price, gate.left) == (1548654951000, 600, -600, 3424, 0)
    swap = {"bkLoss": "0", "bkPx": "0.55205", "ccy": "", "posSide": "short", "side": "buy", "sz": "39", "ts": "1680173247614"}
    dated = {"details": [swap], "instFamily": "XRP-USD", "instId": "XRP-USD-230929", "instType": "FUTURES", "uly": "XRP-USD"}
    of = get_source("okx").endpoint("liquidations")
    assert of.rows(of.read(json.dumps({"code": "0", "data": [dated]}).encode())) == []
    [okx] = of.rows(of.read(json.dumps({"code": "0", "data": [dated | {"instId": "XRP-USD-SWAP"}]}).encode()))
    assert (okx.symbol, okx.ts, okx.side, okx.sz, okx.bk_px) == ("XRP-USD-SWAP", 1680173247614, "buy", 39, 0.55205)
    row = {"symbol": "APEUSDT", "side": "buy", "price": "0.1649", "amount": "13.70319", "ts": "1777358886549"}
    of = get_source("bitget").endpoint("liquidations")
    [bitget] = of.rows(of.read(json.dumps({"code": "00000", "data": {"list": [row], "cursor": None}}).encode()))
    assert bitget.amount / bitget.price == pytest.approx(83.1), "coins in the sample: the amount is what they were worth"


def gate_rows(times: list[int]) -> list[dict[str, object]]:
    return [{"time": at, "size": 1, "order_size": -1, "fill_price": "1", "left": 0} for at in times]


@pytest.mark.parametrize(("turned", "ends"), [(False, (1760132000, 1760133599)), (True, (1760130000, 1760132000))])
def test_a_full_page_of_gate_is_followed_whichever_its_order(turned: bool, ends: tuple[int, int]) -> None:
    """A thousand rows, the last second asked once more; a page that is not full is the last."""
    [request] = plan("gate")
    times = [1760131000] * 500 + [1760132000] * 500 if not turned else [1760133000] * 500 + [1760132000] * 500
    then = next_request("gate", "liquidations", request, gate_rows(times))
    assert then and (then.params["from"], then.params["to"]) == ends
    assert next_request("gate", "liquidations", request, gate_rows(times[1:])) is None


def test_full_pages_of_the_others() -> None:
    [request] = plan("okx")
    details = [{"bkPx": "1", "side": "buy", "sz": "1", "ts": str(1760133000000 - n)} for n in range(100)]
    body = {"code": "0", "data": [{"details": details, "instId": "BTC-USDT-SWAP"}]}
    then = next_request("okx", "liquidations", request, body)
    assert then and then.params["after"] == 1760133000000 - 98, "the last millisecond once more"
    body["data"][0]["details"] = details[1:]  # type: ignore[index]
    assert next_request("okx", "liquidations", request, body) is None
    [request] = plan("bitget")
    row = {"symbol": "BTCUSDT", "side": "buy", "price": "1", "amount": "1", "ts": "1760131000000"}
    then = next_request("bitget", "liquidations", request, {"data": {"list": [row], "cursor": "x1"}})
    assert then and then.params["cursor"] == "x1"
    for last in ({"list": [row], "cursor": ""}, {"list": [row | {"ts": "1760129999999"}], "cursor": "x2"}):
        assert next_request("bitget", "liquidations", request, {"data": last}) is None


@pytest.mark.parametrize("name", ASKED)
def test_three_days_are_the_stores(name: str, emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    """Every event, under the venue's side, unit and price; seconds where the venue has no more."""
    symbol, columns = ASKED[name]
    query = load_and_query(name, emulator, tmp_path, window=THREE_DAYS, assets=["BTC"])
    found = query(f"select {columns} from raw.{name}__liquidations order by all")
    forced = store.liquidations(name, "BTC")
    second = 1000 if name == "gate" else 1
    wanted = sorted((at // second * second, long, price, size) for at, long, price, size in store_rows(forced, THREE_DAYS))
    assert len(found) == len(wanted) > 3 and {long for _, long, _, _ in wanted} == {True, False}
    for row, told in zip(found, wanted, strict=True):
        assert row[:2] == told[:2] and row[2:] == pytest.approx(told[2:], rel=1e-6)
    assert all(at >= THREE_DAYS.start and at < THREE_DAYS.start + 72 * HOUR for at, *_ in found)
    assert query(f"select distinct symbol from raw.{name}__liquidations") == [(symbol,)]
