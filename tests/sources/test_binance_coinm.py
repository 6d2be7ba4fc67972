"""Binance COIN-M, by its page: contracts of so many dollars, bars that are cut from the front, questions by pair."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.venues.binance_coinm import face
from pipelines.source import Instrument
from pipelines.windows import HOUR, Window
from tests.infra.emulator.conftest import ask
from tests.pipelines.samples import WIRE
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    Served,
    SyntheticMarket,
    decoded,
    exact,
    get_source,
    loaded,
    planned,
    samples,
    seen,
    through_ccxt,
    told,
)

NAME = "binance_coinm"
HOST = "https://dapi.binance.com"
#: 10 and 11 October 2025, whole.
TWO_DAYS = Window(1760054400000, 1760227200000)
SPAN = "startTime=1760054400000&endTime=1760227199999"

# --- requests -----------------------------------------------------------------------------------------------------------


def test_two_days_make_exactly_these_requests() -> None:
    data = f"GET {HOST}/futures/data"
    api = f"GET {HOST}/dapi/v1"
    assert planned(NAME, "BTCUSD_PERP", TWO_DAYS) == {
        "instruments": [f"{api}/exchangeInfo"],
        "funding_info": [f"{api}/fundingInfo"],
        "premium_index": [f"{api}/premiumIndex"],
        "open_interest_now": [f"{api}/openInterest?symbol=BTCUSD_PERP"],
        # by pair, and without a type it would be the sum of all
        "open_interest": [f"{data}/openInterestHist?pair=BTCUSD&contractType=PERPETUAL&period=1h&{SPAN}&limit=500"],
        "funding_rates": [f"{api}/fundingRate?symbol=BTCUSD_PERP&{SPAN}&limit=1000"],
        "candles": [f"{api}/klines?symbol=BTCUSD_PERP&interval=1h&{SPAN}&limit=1500"],
        "mark_candles": [f"{api}/markPriceKlines?symbol=BTCUSD_PERP&interval=1h&{SPAN}&limit=1500"],
        "index_candles": [f"{api}/indexPriceKlines?pair=BTCUSD&interval=1h&{SPAN}&limit=1500"],
    }


@pytest.mark.parametrize(
    ("dataset", "hours"),
    [("open_interest", 500), ("funding_rates", 500), ("candles", 1500), ("mark_candles", 1500), ("index_candles", 1500)],
)
def test_a_year_is_asked_in_pages_that_no_limit_cuts(dataset: str, hours: int) -> None:
    """Bars of a window that is longer than the page are cut from the front, and none may be longer than 200 days."""
    year = Window(1735689600000, 1735689600000 + 365 * DAY)
    requests = list(get_source(NAME).endpoint(dataset).plan(Instrument("BTCUSD_PERP", "BTC"), year))
    windows = [request.window or year for request in requests]
    assert (windows[0].start, windows[-1].end) == (year.start, year.end)
    assert all(one.end == next_.start for one, next_ in pairwise(windows))
    assert max(window.end - window.start for window in windows) == hours * HOUR < 200 * DAY
    assert all(request.params["endTime"] == window.end - 1 for request, window in zip(requests, windows, strict=True))


def test_what_requests_weigh_and_how_far_back_is_kept() -> None:
    of = get_source(NAME)
    assert {k: (v.weight, v.seconds) for k, v in of.limits.items()} == {"weight": (2400, 60), "data": (1000, 300)}
    weights = {d.name: dict(next(iter(d.plan(Instrument("A", "A"), TWO_DAYS))).weights) for d in of.endpoints}
    assert weights == {
        "instruments": {"weight": 1}, "funding_info": {"weight": 1}, "premium_index": {"weight": 10},
        "open_interest_now": {"weight": 1}, "open_interest": {"data": 1}, "funding_rates": {"weight": 1},
        "candles": {"weight": 10}, "mark_candles": {"weight": 10}, "index_candles": {"weight": 10},
    }  # fmt: skip
    assert {d.name: d.history_days for d in of.endpoints if d.history_days} == {"open_interest": 30}


# --- bodies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, {"code": -1003, "msg": "Too much request weight used; please slow down."}, "limited"),
        (451, {"code": 0, "msg": "Service unavailable from a restricted location"}, "blocked"),
        (400, {"code": -1121, "msg": "Invalid symbol."}, "rejected"),
        (200, {"code": -4088, "msg": "Maximum time interval is 200 days."}, "rejected"),  # as recorded
        (503, {"code": -1001, "msg": "Internal error"}, "transient"),
        (200, {"symbol": "BTCUSD_PERP", "openInterest": "6784657", "time": 1702244982986}, None),
        (200, [], None),
    ],
)
def test_what_a_body_says(status: int, body: object, kind: str | None) -> None:
    said = get_source(NAME).error(status, json.dumps(body).encode())
    assert (said.kind if said else None) == kind


def contract(symbol: str, kind: str, pair: str = "", quote: str = "USD") -> dict[str, Any]:
    pair = pair or symbol.partition("_")[0]
    known = {"symbol": symbol, "pair": pair, "contractType": kind, "contractStatus": "TRADING", "contractSize": 10}
    return known | {"baseAsset": pair.removesuffix("USD"), "quoteAsset": quote, "marginAsset": pair.removesuffix("USD")}


def test_the_perpetuals_of_a_list() -> None:
    rows = [
        contract("BTCUSD_PERP", "PERPETUAL"), contract("BTCUSD_251226", "CURRENT_QUARTER"), contract("BTCUSD_260327", ""),
        contract("GALAUSD_PERP", "PERPETUAL DELIVERING"), contract("ODDUSD_PERP", "PERPETUAL", pair="EVENUSD"),
        contract("XUSDC_PERP", "PERPETUAL", quote="USDC"),
    ]  # fmt: skip
    of = get_source(NAME)
    page = of.endpoint("instruments").read(json.dumps({"symbols": rows}).encode())
    assert of.parse_instruments and [(i.symbol, i.base_asset) for i in of.parse_instruments(page)] == [
        ("BTCUSD_PERP", "BTC"),
        ("GALAUSD_PERP", "GALA"),
    ]


ENDPOINTS = {
    "/dapi/v1/exchangeInfo": "instruments",
    "/dapi/v1/fundingInfo": "funding_info",
    "/dapi/v1/premiumIndex": "premium_index",
    "/dapi/v1/openInterest": "open_interest_now",
    "/futures/data/openInterestHist": "open_interest",
    "/dapi/v1/fundingRate": "funding_rates",
    "/dapi/v1/klines": "candles",
    "/dapi/v1/markPriceKlines": "mark_candles",
    "/dapi/v1/indexPriceKlines": "index_candles",
}
# The tape keeps paths alone, so the history of open interest is filed under fapi: what has a pair is COIN-M's.
FOUND = [
    s
    for s in samples(ENDPOINTS, ["dapi.binance.com", "fapi.binance.com"], examples="binance")
    if (s.dataset != "open_interest" or b'"pair"' in s.body) and b'"code"' not in s.body
]
BARS: dict[str, str | int] = {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4}
COLUMNS: dict[str, dict[str, str | int]] = {
    "instruments": {
        "symbol": "symbol", "pair": "pair", "contract_type": "contractType", "contract_status": "contractStatus",
        "contract_size": "contractSize", "base_asset": "baseAsset", "quote_asset": "quoteAsset", "margin_asset": "marginAsset",
        "underlying_type": "underlyingType", "onboard_date": "onboardDate", "delivery_date": "deliveryDate",
    },
    "funding_info": {
        "symbol": "symbol", "funding_interval_hours": "fundingIntervalHours",
        "adjusted_funding_rate_cap": "adjustedFundingRateCap", "adjusted_funding_rate_floor": "adjustedFundingRateFloor",
    },
    "premium_index": {
        "symbol": "symbol", "time": "time", "mark_price": "markPrice", "index_price": "indexPrice",
        "last_funding_rate": "lastFundingRate", "next_funding_time": "nextFundingTime",
    },
    "open_interest_now": {"symbol": "symbol", "open_interest": "openInterest", "time": "time"},
    "open_interest": {
        "pair": "pair", "contract_type": "contractType", "timestamp": "timestamp",
        "sum_open_interest": "sumOpenInterest", "sum_open_interest_value": "sumOpenInterestValue",
    },
    "funding_rates": {
        "symbol": "symbol", "funding_time": "fundingTime", "funding_rate": "fundingRate", "mark_price": "markPrice",
    },
    "candles": BARS | {"volume": 5, "close_time": 6, "base_volume": 7, "trades": 8},
    "mark_candles": BARS,
    "index_candles": BARS,
}  # fmt: skip


@pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_no_sample_is_left_out() -> None:
    count = {d: sum(s.dataset == d for s in FOUND) for d in COLUMNS}
    assert count == {
        "instruments": 4, "funding_info": 2, "premium_index": 5, "open_interest_now": 3, "open_interest": 3,
        "funding_rates": 5, "candles": 4, "mark_candles": 3, "index_candles": 3,
    }  # fmt: skip


@pytest.mark.parametrize("sample", FOUND, ids=str)
def test_a_sample_decodes_to_the_values_that_it_holds(sample: Sample) -> None:
    page = exact(sample)
    rows = page["symbols"] if sample.dataset == "instruments" else [page] if isinstance(page, dict) else page or []
    found = decoded(NAME, sample)
    for row in found:
        if sample.dataset == "funding_rates":
            assert row.pop("rate_type") == "Regular"  # no sample is from after it was added
    assert told(found, rows, COLUMNS[sample.dataset])
    assert rows or sample.body == b"null"


@pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_recorded_contracts_are_dollars_and_the_columns_beside_them_coins() -> None:
    """Contracts times their size over the coins beside is a price within the bar: so both units are what the page says."""
    checked = 0
    for sample in FOUND:
        for row in decoded(NAME, sample) if sample.dataset == "candles" else []:
            size = 100 if row["close"] > 9000 else 10
            assert row["low"] <= row["volume"] * size / row["base_volume"] <= row["high"]
            checked += 1
        if sample.dataset == "open_interest" and "recorded" in sample.file:
            for row in decoded(NAME, sample):
                assert row["sum_open_interest"] * 100 / row["sum_open_interest_value"] == pytest.approx(11_500, rel=0.02)
    assert checked > 15


# --- the emulator -------------------------------------------------------------------------------------------------------


def test_fetched_and_loaded_is_what_the_store_holds(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = loaded(NAME, emulator, tmp_path, assets=["BTC", "ETH", "PEPE"])
    for coin in ("BTC", "ETH"):
        symbol, size = f"{coin}USD_PERP", face(coin)
        table = f"from raw.{NAME}__"
        of = f"where symbol = '{symbol}' order by 1"
        bars, held, funding = store.candles(NAME, coin, "trade"), store.open_interest(NAME, coin), store.funding(NAME, coin)
        assert query(f"select open_time, open, high, low, close, volume, base_volume, trades {table}candles {of}") == [
            (at, o, h, low, c, round(quote / size), coins, n) for at, o, h, low, c, coins, quote, n in seen(bars)
        ]
        for kind in ("mark", "index"):
            prices = [(row[0], row[4]) for row in seen(store.candles(NAME, coin, kind))]  # type: ignore[arg-type]
            assert query(f"select open_time, close {table}{kind}_candles {of}") == prices
        assert query(f"select timestamp, sum_open_interest, sum_open_interest_value {table}open_interest {of}") == [
            (at, round(coins * mark / size), coins) for at, coins, mark in seen(held)
        ]
        assert query(f"select funding_time, funding_rate, mark_price {table}funding_rates {of}") == list(seen(funding))
        [(now, contracts)] = query(f"select time, open_interest {table}open_interest_now {of}")
        assert held and now == NOW
        at = held.observed_at.tolist().index(NOW)
        assert contracts == round(held.size[at] * held.mark[at] / size)
        [(rate,)] = query(f"select last_funding_rate {table}premium_index where symbol = '{symbol}'")
        assert rate == store.running_rate(NAME, coin, NOW)
    assert query(f"select distinct contract_size from raw.{NAME}__instruments where base_asset <> 'BTC'") == [(10.0,)]


def test_the_emulator_cuts_bars_from_the_front_and_refuses_more_than_200_days(emulator: Served) -> None:
    url = f"{emulator.url}/{NAME}/dapi/v1/klines"
    bars = {"symbol": "BTCUSD_PERP", "interval": "1h", "limit": 24}
    page = ask(url, **bars, startTime=NOW - 10 * DAY, endTime=NOW - 5 * DAY - 1).json
    assert [row[0] for row in page] == list(range(NOW - 6 * DAY, NOW - 5 * DAY, HOUR))
    lone = ask(url, **bars, startTime=NOW - 10 * DAY).json  # is stretched to 200 days
    assert lone[-1][0] == NOW
    said = ask(url, **bars, startTime=NOW - 201 * DAY, endTime=NOW)
    assert (said.status, said.json["code"]) == (400, -4088)


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/dapi/v1/fundingRate", {}, -1102),  # unlike USD-M's
        ("/dapi/v1/fundingRate", {"symbol": "BTCUSDT"}, -1121),
        ("/dapi/v1/indexPriceKlines", {"symbol": "BTCUSD_PERP", "interval": "1h"}, -1102),
        ("/futures/data/openInterestHist", {"symbol": "BTCUSD_PERP", "period": "1h"}, -1102),
        ("/futures/data/openInterestHist", {"pair": "BTCUSD", "period": "1h", "startTime": NOW - 40 * DAY}, -1130),
        ("/dapi/v1/klines", {"symbol": "BTCUSD_PERP", "interval": "1h", "limit": 1501}, -1130),
    ],
)
def test_the_emulators_error_bodies(emulator: Served, path: str, params: dict[str, object], code: int) -> None:
    said = ask(f"{emulator.url}/{NAME}{path}", **params)
    assert (said.status, said.json["code"]) == (400, code)


@pytest.fixture(scope="module")
def exchange(_served: Served) -> Any:
    pytest.importorskip("ccxt")
    return through_ccxt("binancecoinm", _served, HOST, f"/{NAME}")


def test_ccxt_reads_the_instruments(exchange: Any, store: SyntheticMarket) -> None:
    found = {m["id"]: (m["base"], m["quote"], m["settle"], m["contractSize"], m["inverse"]) for m in exchange.markets.values()}
    listed = [x.listed for x in store.listings(NAME)]
    assert found == {f"{coin}USD_PERP": (coin, "USD", coin, face(coin), True) for coin in listed}
    assert len(found) == 6


@pytest.mark.parametrize("coin", ["BTC", "LINK"])
def test_ccxt_reads_what_the_store_holds(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    symbol, size = f"{coin}/USD:{coin}", face(coin)
    rates = exchange.fetch_funding_rate_history(symbol, WINDOW.start, 100)
    assert [(r["timestamp"], r["fundingRate"]) for r in rates] == [(at, rate) for at, rate, _ in seen(store.funding(NAME, coin))]
    bars = exchange.fetch_ohlcv(symbol, "1h", WINDOW.start, 48, {"until": WINDOW.end - 1})
    # It takes the eighth column for the volume of an inverse contract: coins.
    assert [tuple(bar) for bar in bars] == [row[:6] for row in seen(store.candles(NAME, coin, "trade"))]
    held = exchange.fetch_open_interest_history(symbol, "1h", WINDOW.start, 48, {"until": WINDOW.end - 1})
    assert [(r["timestamp"], r["openInterestAmount"]) for r in held] == [
        (at, round(coins * mark / size)) for at, coins, mark in seen(store.open_interest(NAME, coin))
    ]
    assert len(bars) == len(held) == 48
