"""Binance: paging, order, history limit, parameter rules, nothing after the clock; numbers equal the store's."""

from __future__ import annotations

import numpy as np
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from tests.infra.emulator.conftest import HOURS, NOW, SINCE, ask, seen

DAY = 24 * MS_HOUR


def test_funding_pages_join_to_what_the_store_holds(emulator: Served, store: SyntheticMarket) -> None:
    rows, start = [], SINCE
    while page := ask(f"{emulator.url}/binance/fapi/v1/fundingRate", symbol="HYPEUSDT", startTime=start, limit=100).json:
        assert len(page) <= 100
        rows += page
        start = page[-1]["fundingTime"] + 1
    held = seen(store.funding("binance", "HYPE"), NOW)
    assert len(rows) > 300
    assert [r["fundingTime"] for r in rows] == held["settled_at"].tolist()
    assert [float(r["fundingRate"]) for r in rows] == held["rate"].tolist()
    assert [float(r["markPrice"]) for r in rows] == held["mark"].tolist()


def test_funding_of_all_symbols_is_mixed_in_one_order_of_time(emulator: Served, store: SyntheticMarket) -> None:
    rows = ask(f"{emulator.url}/binance/fapi/v1/fundingRate", startTime=NOW - DAY, limit=1000).json
    times = [r["fundingTime"] for r in rows]
    assert times == sorted(times)
    coins = [x.listed for x in store.listings("binance")]
    assert len(rows) == sum(len(seen(store.funding("binance", c), NOW, NOW - DAY)["rate"]) for c in coins)


def test_klines_include_the_bar_in_progress_and_nothing_after(emulator: Served, store: SyntheticMarket) -> None:
    rows = ask(f"{emulator.url}/binance/fapi/v1/klines", symbol="BTCUSDT", interval="1h", startTime=SINCE, limit=1500).json
    rows += ask(f"{emulator.url}/binance/fapi/v1/klines", symbol="BTCUSDT", interval="1h", startTime=rows[-1][6], limit=1500).json
    held = seen(store.candles("binance", "BTC", "trade"), NOW)
    assert len(rows) == 120 * 24 + 13
    assert rows[-1][6] > NOW > rows[-2][6]
    for at, name in ((1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume"), (7, "quote_volume"), (8, "trades")):
        assert [float(r[at]) for r in rows] == held[name].tolist()
    newest = ask(f"{emulator.url}/binance/fapi/v1/klines", symbol="BTCUSDT", interval="1h", endTime=NOW - DAY, limit=3).json
    assert [r[0] for r in newest] == [(NOW - DAY) // MS_HOUR * MS_HOUR - n * MS_HOUR for n in (2, 1, 0)]


@pytest.mark.parametrize(("path", "name", "kind"), [("markPriceKlines", "symbol", "mark"), ("indexPriceKlines", "pair", "index")])
def test_price_klines(emulator: Served, store: SyntheticMarket, path: str, name: str, kind: str) -> None:
    params = {name: "1000PEPEUSDT", "interval": "1h", "startTime": NOW - DAY, "endTime": NOW}
    rows = ask(f"{emulator.url}/binance/fapi/v1/{path}", **params).json
    held = seen(store.candles("binance", "1000PEPE", kind), NOW, NOW - DAY)  # type: ignore[arg-type]
    assert [float(r[4]) for r in rows] == held["close"].tolist()
    assert {(r[5], r[7]) for r in rows} == {("0", "0")}


def test_open_interest_history_is_kept_thirty_days(emulator: Served, unlimited: Served, store: SyntheticMarket) -> None:
    params = {"symbol": "ETHUSDT", "period": "1h", "limit": 500}
    url = f"{emulator.url}/binance/futures/data/openInterestHist"
    rows = ask(url, **params, startTime=NOW - 30 * DAY, endTime=NOW - 30 * DAY + 499 * MS_HOUR).json
    rows += ask(url, **params, startTime=rows[-1]["timestamp"] + 1, endTime=NOW).json
    held = seen(store.open_interest("binance", "ETH"), NOW, NOW - 30 * DAY)
    assert [r["timestamp"] for r in rows] == held["observed_at"].tolist()
    assert [float(r["sumOpenInterest"]) for r in rows] == held["size"].tolist()
    assert [float(r["sumOpenInterestValue"]) for r in rows] == (held["size"] * held["mark"]).tolist()
    early = {**params, "startTime": NOW - 40 * DAY, "endTime": NOW - 35 * DAY}
    assert (refused := ask(url, **early)).status == 400 and refused.json["code"] == -1130
    assert len(ask(f"{unlimited.url}/binance/futures/data/openInterestHist", **early).json) == 120


def test_funding_info_lists_only_what_is_not_every_eight_hours(emulator: Served, store: SyntheticMarket) -> None:
    hours = {
        x.listed + "USDT": [h for since, h in x.funding_interval_hours if since <= NOW][-1] for x in store.listings("binance")
    }
    told = {r["symbol"]: r["fundingIntervalHours"] for r in ask(f"{emulator.url}/binance/fapi/v1/fundingInfo").json}
    assert told == {symbol: h for symbol, h in hours.items() if h != 8}
    assert told


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/fapi/v1/klines", {"symbol": "NOUSDT", "interval": "1h"}, -1121),
        ("/fapi/v1/klines", {"interval": "1h"}, -1102),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT"}, -1102),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": 1501}, -1130),
        ("/fapi/v1/fundingRate", {"symbol": "BTCUSDT", "startTime": "x"}, -1102),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT"}, -1102),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "7h"}, -1130),
    ],
)
def test_error_bodies(emulator: Served, path: str, params: dict[str, object], code: int) -> None:
    said = ask(emulator.url + "/binance" + path, **params)
    assert (said.status, said.json["code"]) == (400, code)


def test_snapshots(emulator: Served, store: SyntheticMarket) -> None:
    index = {r["symbol"]: r for r in ask(f"{emulator.url}/binance/fapi/v1/premiumIndex").json}
    for listing in store.listings("binance"):
        row = index[listing.listed + "USDT"]
        assert float(row["lastFundingRate"]) == store.running_rate("binance", listing.listed, NOW)
        assert row["nextFundingTime"] > NOW and row["nextFundingTime"] % (4 * MS_HOUR) == 0
    now = ask(f"{emulator.url}/binance/fapi/v1/openInterest", symbol="BTCUSDT").json
    assert float(now["openInterest"]) == seen(store.open_interest("binance", "BTC"), NOW)["size"][-1]


def test_what_is_not_held_is_sent_as_nothing(bare: Served) -> None:
    kline = ask(f"{bare.url}/binance/fapi/v1/klines", symbol="TINYUSDT", interval="1h").json[0]
    assert kline[1:6] == ["", "", "", "0.00001208", ""] and kline[7:9] == ["", None]
    assert ask(f"{bare.url}/binance/fapi/v1/markPriceKlines", symbol="TINYUSDT", interval="1h").json == []
    rows = ask(f"{bare.url}/binance/fapi/v1/fundingRate", symbol="TINYUSDT").json
    assert [r["fundingRate"] for r in rows] == ["0.00001", "-0.0000025", "0.0", "0.0000125"]
    assert {r["markPrice"] for r in rows} == {""}
    assert [r["fundingTime"] for r in rows] == np.asarray(HOURS).tolist()
    assert ask(f"{bare.url}/binance/fapi/v1/premiumIndex", symbol="TINYUSDT").json["lastFundingRate"] == ""
    assert ask(f"{bare.url}/binance/fapi/v1/openInterest", symbol="TINYUSDT").json["openInterest"] == ""
