"""Binance USD-M's traps: which contracts are perpetual, mixed rates, the running bar, thirty days of open interest, gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.source import Instrument
from pipelines.sources.binance_usdm import SOURCE, bar_weight
from pipelines.windows import Window
from tests.sources.handmade import HOURS
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query, next_request, store_rows

BITCOIN = Instrument("BTCUSDT", "BTC")


def get(emulator: Served, path: str, **params: Any) -> Any:
    return httpx.get(f"{emulator.url}/binance{path}", params=params).json()


def symbol(name: str, kind: str, quote: str = "USDT") -> dict[str, object]:
    assets = {"baseAsset": name.removesuffix(quote), "quoteAsset": quote, "marginAsset": quote}
    return {"symbol": name, "pair": name, "contractType": kind, "status": "TRADING", **assets}


def test_the_perpetuals_of_a_list() -> None:
    """Dated contracts and other quotes are left out."""
    rows = [
        symbol("BTCUSDT", "PERPETUAL"), symbol("BTCUSDT_251226", "CURRENT_QUARTER"), symbol("BTCUSDC", "PERPETUAL", "USDC"),
        symbol("BTCBUSD", "PERPETUAL", "BUSD"),
        symbol("TSLAUSDT", "TRADIFI_PERPETUAL"), symbol("1000PEPEUSDT", "PERPETUAL"),
    ]  # fmt: skip
    page = SOURCE.endpoint("instruments").read(json.dumps({"symbols": rows}).encode())
    assert SOURCE.parse_instruments
    found = [(i.symbol, i.base_asset) for i in SOURCE.parse_instruments(page)]
    assert found == [("BTCUSDT", "BTC"), ("BTCUSDC", "BTC"), ("TSLAUSDT", "TSLA"), ("1000PEPEUSDT", "PEPE")]


def test_bars_cost_what_the_window_needs() -> None:
    """The page's table: <100 bars 1, <500 2, <=1000 5, more 10. 120 days are six requests at 2, not two at 10."""
    limits = (99, 100, 499, 500, 1000, 1001, 1500)
    assert [bar_weight(limit) for limit in limits] == [1, 2, 2, 5, 5, 10, 10]
    plan = SOURCE.endpoint("candles").plan
    assert [r.weights["weight"] for r in plan(BITCOIN, Window(NOW - DAY, NOW))] == [1]
    assert sum(r.weights["weight"] for r in plan(BITCOIN, Window(NOW - 120 * DAY, NOW))) <= 14


def test_a_full_page_of_rates_is_followed_from_its_last_time_on() -> None:
    [first] = SOURCE.endpoint("funding_rates").plan(BITCOIN, WINDOW)
    row = {"symbol": "BTCUSDT", "fundingTime": WINDOW.start, "fundingRate": "0"}
    full = [row] * 999 + [{**row, "fundingTime": WINDOW.start + 5, "rateType": "Special"}]
    second = next_request("binance_usdm", "funding_rates", first, full)
    assert second and second.params == {**first.params, "startTime": WINDOW.start + 5}
    assert next_request("binance_usdm", "funding_rates", first, full[1:]) is None


def test_the_funding_of_all_symbols_is_mixed_in_one_order_of_time(emulator: Served, store: SyntheticMarket) -> None:
    times = [r["fundingTime"] for r in get(emulator, "/fapi/v1/fundingRate", startTime=NOW - DAY, limit=1000)]
    assert times == sorted(times)
    window = Window(NOW - DAY, NOW + 1)
    assert len(times) == sum(len(list(store_rows(store.funding("binance", x.listed), window))) for x in store.listings("binance"))


def test_the_funding_of_all_assets_takes_few_requests_and_has_the_same_rows(
    emulator: Served, store: SyntheticMarket, tmp_path: Path
) -> None:
    emulator.clear_requests()
    query = load_and_query("binance_usdm", emulator, tmp_path, assets=["all"])
    asked = [request for request in emulator.requests() if request["path"].endswith("/fundingRate")]
    listings = list(store.listings("binance"))
    assert len(listings) > 6 >= len(asked), "two days in windows of eight hours, not a request for each symbol"
    assert not any("symbol" in request["query"] for request in asked)
    expected = sum(len(list(store_rows(store.funding("binance", x.listed)))) for x in listings)
    assert query("select count(*), count(distinct (symbol, funding_time)) from raw.binance_usdm__funding_rates") == [
        (expected,) * 2
    ]


def test_the_running_bar_is_sent_and_none_after_it(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW + MS_HOUR // 2, days=5, limits_scale=1e6) as emulator:
        bars = get(emulator, "/fapi/v1/klines", symbol="BTCUSDT", interval="1h")
    assert [bars[-1][0], bars[-1][6]] == [NOW, NOW + MS_HOUR - 1]
    trades = list(store_rows(store.candles("binance", "BTC", "trade"), Window(NOW - 5 * DAY, NOW + 1)))
    assert [(b[0], *map(float, b[1:6]), float(b[7]), b[8]) for b in bars] == trades


def test_price_bars_have_no_volume(emulator: Served) -> None:
    for path, name in (("markPriceKlines", "symbol"), ("indexPriceKlines", "pair")):
        bars = get(emulator, f"/fapi/v1/{path}", **{name: "1000PEPEUSDT", "interval": "1h"})
        assert {(bar[5], bar[7]) for bar in bars} == {("0", "0")}


def test_open_interest_is_kept_thirty_days(emulator: Served, store: SyntheticMarket) -> None:
    path, old = "/futures/data/openInterestHist", {"startTime": NOW - 40 * DAY, "endTime": NOW - 35 * DAY - 1}
    params = {"symbol": "ETHUSDT", "period": "1h", "limit": 500}
    assert get(emulator, path, **params, **old)["code"] == -1130
    with serve(store, as_of=NOW, limits_scale=1e6, history_limits=False) as unlimited:
        assert len(get(unlimited, path, **params, **old)) == 120


def test_funding_info_lists_what_is_not_every_eight_hours(emulator: Served, store: SyntheticMarket) -> None:
    hours = {
        x.listed + "USDT": [h for since, h in x.funding_interval_hours if since <= NOW][-1] for x in store.listings("binance")
    }
    rows = {r["symbol"]: r["fundingIntervalHours"] for r in get(emulator, "/fapi/v1/fundingInfo")}
    assert rows == {symbol: h for symbol, h in hours.items() if h != 8} != {}


def test_snapshots(emulator: Served, store: SyntheticMarket) -> None:
    index = {r["symbol"]: r for r in get(emulator, "/fapi/v1/premiumIndex")}
    for listing in store.listings("binance"):
        row = index[listing.listed + "USDT"]
        assert float(row["lastFundingRate"]) == store.running_rate("binance", listing.listed, NOW)
        assert row["nextFundingTime"] > NOW and row["nextFundingTime"] % (4 * MS_HOUR) == 0
    *_, (_, size, _) = store_rows(store.open_interest("binance", "BTC"), Window(NOW - DAY, NOW + 1))
    assert float(get(emulator, "/fapi/v1/openInterest", symbol="BTCUSDT")["openInterest"]) == size


def test_what_is_not_held_is_sent_as_nothing(bare: Served) -> None:
    bar = get(bare, "/fapi/v1/klines", symbol="TINYUSDT", interval="1h")[0]
    assert bar[1:6] == ["", "", "", "0.00001208", ""] and bar[7:9] == ["", None]
    assert get(bare, "/fapi/v1/markPriceKlines", symbol="TINYUSDT", interval="1h") == []
    rates = get(bare, "/fapi/v1/fundingRate", symbol="TINYUSDT")
    assert [r["fundingRate"] for r in rates] == ["0.00001", "-0.0000025", "0.0", "0.0000125"]
    assert {r["markPrice"] for r in rates} == {""} and [r["fundingTime"] for r in rates] == HOURS.tolist()
    assert get(bare, "/fapi/v1/premiumIndex", symbol="TINYUSDT")["lastFundingRate"] == ""
    assert get(bare, "/fapi/v1/openInterest", symbol="TINYUSDT")["openInterest"] == ""
