"""Bybit inverse, by its page: dollars where linear counts coins, both sides of open interest, errors in HTTP 200, one limit."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipelines.clock import Clock
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Instrument
from pipelines.windows import HOUR, Window
from tests.infra.emulator.conftest import ask
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
    load_and_query,
    next_request,
    planned_requests,
    rows_match_wire,
    store_rows,
    through_ccxt,
    wire_samples,
    written,
)
from tests.sources.samples import WIRE

NAME = "bybit_inverse"
MARKET = "https://api.bybit.com/v5/market"
#: 10 and 11 October 2025, whole.
TWO_DAYS = Window(1760054400000, 1760227200000)
ASKED = "category=inverse&symbol=BTCUSD"

# --- requests -----------------------------------------------------------------------------------------------------------


def test_two_days_make_exactly_these_requests() -> None:
    """Both ends always, as a lone start is refused; bars call them otherwise."""
    span = "startTime=1760054400000&endTime=1760227199999&limit=200"
    bars = f"{ASKED}&interval=60&start=1760054400000&end=1760227199999&limit=1000"
    assert planned_requests(NAME, "BTCUSD", TWO_DAYS) == {
        "instruments": [f"GET {MARKET}/instruments-info?category=inverse&limit=1000"],
        "tickers": [f"GET {MARKET}/tickers?category=inverse"],
        "open_interest": [f"GET {MARKET}/open-interest?{ASKED}&intervalTime=1h&{span}"],
        "funding_rates": [f"GET {MARKET}/funding/history?{ASKED}&{span}"],
        "candles": [f"GET {MARKET}/kline?{bars}"],
        "mark_candles": [f"GET {MARKET}/mark-price-kline?{bars}"],
        "index_candles": [f"GET {MARKET}/index-price-kline?{bars}"],
    }


@pytest.mark.parametrize(
    ("dataset", "hours"),
    [("open_interest", 200), ("funding_rates", 200), ("candles", 1000), ("mark_candles", 1000), ("index_candles", 1000)],
)
def test_a_year_is_asked_in_pages_that_no_limit_cuts(dataset: str, hours: int) -> None:
    year = Window(1735689600000, 1735689600000 + 365 * DAY)
    windows = [r.window or year for r in get_source(NAME).endpoint(dataset).plan(Instrument("BTCUSD", "BTC"), year)]
    assert (windows[0].start, windows[-1].end) == (year.start, year.end)
    assert all(one.end == next_.start for one, next_ in pairwise(windows))
    assert max(window.end - window.start for window in windows) == hours * HOUR


def contract(symbol: str, kind: str = "InversePerpetual", **others: object) -> dict[str, object]:
    known = {"symbol": symbol, "contractType": kind, "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USD"}
    return {**known, "settleCoin": "BTC", "fundingInterval": 480, **others}


def page(*rows: object, cursor: str | None = "") -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "inverse", "list": rows, "nextPageCursor": cursor}}


def test_the_list_goes_on_by_cursor() -> None:
    [first] = get_source(NAME).endpoint("instruments").plan(Instrument("", ""), TWO_DAYS)
    second = next_request(NAME, "instruments", first, page(contract("BTCUSD"), cursor="a%3D1"))
    assert second and written(NAME, second) == f"GET {MARKET}/instruments-info?category=inverse&limit=1000&cursor=a%253D1"
    assert next_request(NAME, "instruments", first, page(contract("BTCUSD"))) is None
    assert next_request(NAME, "instruments", first, page(contract("BTCUSD"), cursor=None)) is None


# --- bodies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"retCode":10006,"retMsg":"Too many visits!"}', "limited"),
        (200, b'{"retCode":10001,"retMsg":"params error"}', "rejected"),
        (200, b'{"retCode":10016,"retMsg":"Server error"}', "transient"),
        (403, b"<html>403 Forbidden</html>", "blocked"),
        (403, b"access too frequent", "limited"),
        (200, json.dumps(page()).encode(), None),
    ],
)
def test_what_a_body_says(status: int, body: bytes, kind: str | None) -> None:
    said = get_source(NAME).error(status, body)
    assert (said.kind if said else None) == kind


def test_the_perpetuals_of_a_list() -> None:
    rows = [contract("BTCUSD"), contract("BTCUSDZ25", "InverseFutures"), contract("XUSDT", quoteCoin="USDT")]
    of = get_source(NAME)
    body = of.endpoint("instruments").read(json.dumps(page(*rows, contract("BTCUSDT", "LinearPerpetual"))).encode())
    assert of.parse_instruments and [(i.symbol, i.base_asset) for i in of.parse_instruments(body)] == [("BTCUSD", "BTC")]


ENDPOINTS = {
    "/v5/market/instruments-info": "instruments",
    "/v5/market/tickers": "tickers",
    "/v5/market/open-interest": "open_interest",
    "/v5/market/funding/history": "funding_rates",
    "/v5/market/kline": "candles",
    "/v5/market/mark-price-kline": "mark_candles",
    "/v5/market/index-price-kline": "index_candles",
}
NAUTILUS = {
    f"bybit/{name}.json": "instruments" for name in ("http_get_instruments_inverse", "http_get_instruments_inverse_symbol_type")
}
FOUND = [
    s
    for s in wire_samples(ENDPOINTS, ["api.bybit.com"], examples="bybit", nautilus=NAUTILUS)
    if b'"inverse"' in s.body or s.file in NAUTILUS
]
BARS: dict[str, str | int] = {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4}
COLUMNS: dict[str, dict[str, str | int]] = {
    "instruments": {
        "symbol": "symbol", "contract_type": "contractType", "status": "status", "base_coin": "baseCoin",
        "quote_coin": "quoteCoin", "settle_coin": "settleCoin", "funding_interval": "fundingInterval",
        "launch_time": "launchTime", "delivery_time": "deliveryTime", "symbol_type": "symbolType",
    },
    "tickers": {
        "symbol": "symbol", "mark_price": "markPrice", "index_price": "indexPrice", "funding_rate": "fundingRate",
        "next_funding_time": "nextFundingTime", "funding_interval_hour": "fundingIntervalHour",
        "open_interest": "openInterest", "single_open_interest": "singleOpenInterest",
    },
    "open_interest": {
        "timestamp": "timestamp", "open_interest": "openInterest", "single_open_interest": "singleOpenInterest",
    },
    "candles": BARS | {"volume": 5, "turnover": 6},
    "index_candles": BARS,
}  # fmt: skip


@pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_no_sample_is_left_out() -> None:
    assert sorted(s.dataset for s in FOUND) == [
        "candles", "index_candles", "instruments", "instruments", "open_interest", "tickers",
    ]  # fmt: skip


@pytest.mark.parametrize("sample", FOUND, ids=str)
def test_a_sample_decodes_to_the_values_that_it_holds(sample: Sample) -> None:
    rows = exact(sample)["result"]["list"]
    assert rows and rows_match_wire(decoded(NAME, sample), rows, COLUMNS[sample.dataset])


@pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_documented_volume_is_dollars_and_turnover_coins() -> None:
    [sample] = [s for s in FOUND if s.dataset == "candles"]
    rows = decoded(NAME, sample)
    assert len(rows) == 3 and all(row["low"] <= row["volume"] / row["turnover"] <= row["high"] for row in rows)


# --- the emulator -------------------------------------------------------------------------------------------------------


def test_fetched_and_loaded_is_what_the_store_holds(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query(NAME, emulator, tmp_path, assets=["BTC", "SOL", "PEPE"])
    for coin in ("BTC", "SOL"):
        table, of = f"from raw.{NAME}__", f"where symbol = '{coin}USD' order by 1"
        bars, held, funding = store.candles(NAME, coin, "trade"), store.open_interest(NAME, coin), store.funding(NAME, coin)
        assert query(f"select open_time, open, high, low, close, volume, turnover {table}candles {of}") == [
            (at, o, h, low, c, round(quote), coins) for at, o, h, low, c, coins, quote, _ in store_rows(bars)
        ]
        for kind in ("mark", "index"):
            prices = [(row[0], row[4]) for row in store_rows(store.candles(NAME, coin, kind))]  # type: ignore[arg-type]
            assert query(f"select open_time, close {table}{kind}_candles {of}") == prices
        assert query(f"select timestamp, open_interest, single_open_interest {table}open_interest {of}") == [
            (at, round(2 * coins * mark), round(coins * mark)) for at, coins, mark in store_rows(held)
        ]
        assert query(f"select funding_rate_timestamp, funding_rate {table}funding_rates {of}") == [
            row[:2] for row in store_rows(funding)
        ]
        assert held
        at = held.observed_at.tolist().index(NOW)
        assert query(f"select single_open_interest, funding_rate {table}tickers where symbol = '{coin}USD'") == [
            (round(held.size[at] * held.mark[at]), store.running_rate(NAME, coin, NOW))
        ]


def test_the_categories_are_markets_of_their_own(emulator: Served, store: SyntheticMarket) -> None:
    url = f"{emulator.url}/bybit/v5/market/instruments-info"
    for category, market, quote in (("linear", "bybit", "USDT"), ("inverse", NAME, "USD")):
        found = {r["symbol"] for r in ask(url, category=category).json["result"]["list"]}
        assert found == {x.listed + quote for x in store.listings(market)}
    assert len(store.listings(NAME)) == 6
    assert ask(url, category="spot").json["result"]["list"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("kline", {"symbol": "BTCUSDT", "interval": 60}),  # of the other category
        ("funding/history", {"symbol": "BTCUSD", "startTime": WINDOW.start}),  # a lone start
        ("open-interest", {"symbol": "BTCUSD", "intervalTime": "1h", "limit": 201}),
    ],
)
def test_the_emulators_errors_come_with_http_200(emulator: Served, path: str, params: dict[str, object]) -> None:
    said = ask(f"{emulator.url}/bybit/v5/market/{path}", category="inverse", **params)
    assert (said.status, said.json["retCode"]) == (200, 10001)


def test_linear_and_inverse_spend_from_one_limit(tmp_path: Path) -> None:
    """The venue counts 600 requests in 5 seconds over the whole host: what one source spent the other can't."""
    emulator = EmulatorInfo("http://127.0.0.1:9", "synthetic; seed=7")
    run = Run.begin(Settings(home=tmp_path, limits_scale=1), WINDOW, Clock(NOW), emulator)
    linear, inverse, other = (run.client(get_source(n)).limiter for n in ("bybit_linear", NAME, "kraken_futures"))

    async def spend() -> None:
        await linear.acquire({"requests": 582})  # 97 % of the limit
        await asyncio.wait_for(other.acquire({"requests": 1}), 0.5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inverse.acquire({"requests": 1}), 0.5)

    asyncio.run(spend())


@pytest.fixture(scope="module")
def exchange(_served: Served) -> Any:
    pytest.importorskip("ccxt")
    return through_ccxt("bybit", _served, "https://api.{hostname}", "/bybit")


def test_ccxt_reads_the_instruments(exchange: Any, store: SyntheticMarket) -> None:
    found = {m["id"]: (m["base"], m["quote"], m["settle"], m["contractSize"]) for m in exchange.markets.values() if m["inverse"]}
    assert found == {f"{x.listed}USD": (x.listed, "USD", x.listed, 1) for x in store.listings(NAME)}


@pytest.mark.parametrize("coin", ["BTC", "SOL"])
def test_ccxt_reads_what_the_store_holds(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    symbol = f"{coin}/USD:{coin}"
    rates = exchange.fetch_funding_rate_history(symbol, WINDOW.start, 100, {"until": WINDOW.end - 1})
    assert [(r["timestamp"], r["fundingRate"]) for r in rates] == [row[:2] for row in store_rows(store.funding(NAME, coin))]
    bars = exchange.fetch_ohlcv(symbol, "1h", WINDOW.start, 48)
    # It takes the seventh column for the volume of an inverse contract: coins.
    assert [tuple(bar) for bar in bars] == [row[:6] for row in store_rows(store.candles(NAME, coin, "trade"))]
    params = {"startTime": WINDOW.start, "endTime": WINDOW.end - 1}
    held = exchange.fetch_open_interest_history(symbol, "1h", None, 48, params)
    assert [(r["timestamp"], float(r["info"]["openInterest"])) for r in held] == [
        (at, round(2 * coins * mark)) for at, coins, mark in store_rows(store.open_interest(NAME, coin))
    ]
    assert len(bars) == len(held) == 48
