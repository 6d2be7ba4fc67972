"""Bybit: newest first, cursors, both sides of open interest, errors in HTTP 200, nothing after the clock."""

from __future__ import annotations

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from tests.infra.emulator.conftest import NOW, SINCE, ask, seen

DAY = 24 * MS_HOUR


def test_funding_pages_back_to_the_start(emulator: Served, store: SyntheticMarket) -> None:
    rows, end = [], NOW
    while page := ask(
        f"{emulator.url}/bybit/v5/market/funding/history", category="linear", symbol="1000PEPEUSDT", endTime=end
    ).json["result"]["list"]:
        rows += page
        end = int(page[-1]["fundingRateTimestamp"]) - 1
    held = seen(store.funding("bybit", "1000PEPE"), NOW)
    assert len(rows) > 400
    assert [int(r["fundingRateTimestamp"]) for r in rows] == held["settled_at"].tolist()[::-1]
    assert [float(r["fundingRate"]) for r in rows] == held["rate"].tolist()[::-1]


def test_open_interest_follows_its_cursor_and_counts_both_sides(emulator: Served, store: SyntheticMarket) -> None:
    params = {"category": "linear", "symbol": "SOLUSDT", "intervalTime": "1h", "limit": 200}
    window = {"startTime": NOW - 30 * DAY, "endTime": NOW}
    rows, cursor = [], ""
    while True:
        page = ask(f"{emulator.url}/bybit/v5/market/open-interest", **params, **window, cursor=cursor).json["result"]
        rows += page["list"]
        if not (cursor := page["nextPageCursor"]):
            break
    held = seen(store.open_interest("bybit", "SOL"), NOW, NOW - 30 * DAY)
    assert [int(r["timestamp"]) for r in rows] == held["observed_at"].tolist()[::-1]
    assert [float(r["singleOpenInterest"]) for r in rows] == held["size"].tolist()[::-1]
    assert [float(r["openInterest"]) for r in rows] == (2 * held["size"]).tolist()[::-1]
    lone = ask(f"{emulator.url}/bybit/v5/market/open-interest", **params, startTime=SINCE).json["result"]["list"]
    assert int(lone[0]["timestamp"]) == NOW // MS_HOUR * MS_HOUR  # a lone start is ignored


@pytest.mark.parametrize(("path", "kind"), [("kline", "trade"), ("mark-price-kline", "mark"), ("index-price-kline", "index")])
def test_klines_end_with_the_last_bar_that_is_over(emulator: Served, store: SyntheticMarket, path: str, kind: str) -> None:
    params = {"category": "linear", "symbol": "ETHUSDT", "interval": "60", "limit": 1000}
    newest = ask(f"{emulator.url}/bybit/v5/market/{path}", **params).json["result"]["list"]
    rows = newest + ask(f"{emulator.url}/bybit/v5/market/{path}", **params, end=int(newest[-1][0]) - 1).json["result"]["list"]
    held = seen(store.candles("bybit", "ETH", kind), NOW - MS_HOUR)  # type: ignore[arg-type]
    names = ["opened_at", "open", "high", "low", "close", *(["volume", "quote_volume"] if kind == "trade" else [])]
    for at, name in enumerate(names):
        assert [float(r[at]) for r in rows] == held[name].tolist()[::-1][:2000]
    over = ask(f"{emulator.url}/bybit/v5/market/{path}", **{**params, "limit": 10}, start=SINCE, end=NOW).json["result"]["list"]
    assert over == newest[:10]  # more bars than the limit: the newest


def test_instruments_page_by_cursor(emulator: Served) -> None:
    url, first = f"{emulator.url}/bybit/v5/market/instruments-info", {"category": "linear", "limit": 5}
    one = ask(url, **first).json["result"]
    two = ask(url, **first, cursor=one["nextPageCursor"]).json["result"]
    assert (len(one["list"]), len(two["list"]), two["nextPageCursor"]) == (5, 3, "")
    assert {r["fundingInterval"] for r in one["list"] + two["list"]} <= {60, 120, 240, 480}
    assert ask(url, category="linear", status="PreLaunch").json["result"]["list"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("funding/history", {"category": "linear", "symbol": "BTCUSDT", "startTime": SINCE}),
        ("funding/history", {"category": "linear", "symbol": "NOUSDT"}),
        ("funding/history", {"category": "linear", "symbol": "BTCUSDT", "limit": 201}),
        ("tickers", {}),
        ("open-interest", {"category": "linear", "symbol": "BTCUSDT"}),
    ],
)
def test_errors_come_with_http_200(emulator: Served, path: str, params: dict[str, object]) -> None:
    said = ask(f"{emulator.url}/bybit/v5/market/{path}", **params)
    assert (said.status, said.json["retCode"]) == (200, 10001)


def test_tickers(emulator: Served, store: SyntheticMarket) -> None:
    rows = {r["symbol"]: r for r in ask(f"{emulator.url}/bybit/v5/market/tickers", category="linear").json["result"]["list"]}
    for listing in store.listings("bybit"):
        row = rows[listing.listed + "USDT"]
        size = float(seen(store.open_interest("bybit", listing.listed), NOW)["size"][-1])
        assert (float(row["openInterest"]), float(row["singleOpenInterest"])) == (2 * size, size)
        assert float(row["fundingRate"]) == store.running_rate("bybit", listing.listed, NOW)


def test_what_is_not_held_is_sent_as_nothing(bare: Served) -> None:
    params = {"category": "linear", "symbol": "TINYUSDT"}
    kline = ask(f"{bare.url}/bybit/v5/market/kline", **params, interval=60).json["result"]["list"][-1]
    assert kline[1:] == ["", "", "", "0.00001208", "", ""]
    assert ask(f"{bare.url}/bybit/v5/market/open-interest", **params, intervalTime="1h").json["result"]["list"] == []
    assert ask(f"{bare.url}/bybit/v5/market/tickers", **params).json["result"]["list"][0]["singleOpenInterest"] == ""
