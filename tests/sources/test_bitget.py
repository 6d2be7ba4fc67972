"""Bitget, by what the venue's page says: text numbers, sizes in coins, funding in numbered pages without a window."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.source import Instrument, Request, VenueProblem
from pipelines.sources.bitget import SOURCE, error, instruments
from pipelines.windows import Window
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    decoded,
    exact,
    fetch_from_emulator,
    load_and_query,
    next_request,
    planned_requests,
    rows_match_wire,
    store_rows,
    through_ccxt,
    wire_samples,
)
from tests.sources.samples import WIRE

ROOT = "https://api.bitget.com/api/v2/mix/market"
COINS = ("BTC", "PEPE", "DOGE")


def enveloped(*rows: Any, code: str = "00000") -> dict[str, Any]:
    return {"code": code, "msg": "success", "requestTime": NOW, "data": list(rows)}


# --- requests ---------------------------------------------------------------------------------------------------------------


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21: both ends of a window of bars are sent, inclusive; funding takes none."""
    bars = "symbol=BTCUSDT&granularity=1H&productType=USDT-FUTURES&startTime=1795132800000&endTime=1795305599999&limit=200"
    assert planned_requests("bitget", "BTCUSDT", WINDOW, without="liquidations") == {
        "instruments": [f"GET {ROOT}/contracts?productType=USDT-FUTURES"],
        "tickers": [f"GET {ROOT}/tickers?productType=USDT-FUTURES"],
        "running_rates": [f"GET {ROOT}/current-fund-rate?productType=USDT-FUTURES"],
        "funding_rates": [f"GET {ROOT}/history-fund-rate?symbol=BTCUSDT&productType=USDT-FUTURES&pageSize=100&pageNo=1"],
        "candles": [f"GET {ROOT}/history-candles?{bars}"],
        "mark_candles": [f"GET {ROOT}/history-mark-candles?{bars}"],
        "index_candles": [f"GET {ROOT}/history-index-candles?{bars}"],
    }


def test_no_page_of_bars_can_be_cut() -> None:
    """The venue cuts at the start of a window that is too long, and refuses one of more than 90 days."""
    requests = list(SOURCE.endpoint("candles").plan(Instrument("BTCUSDT", "BTC"), Window(NOW - 365 * DAY, NOW)))
    starts = [int(request.params["startTime"]) for request in requests] + [NOW]
    assert max(b - a for a, b in pairwise(starts)) <= 200 * MS_HOUR < 90 * DAY
    assert all(int(request.params["endTime"]) + 1 == b for request, b in zip(requests, starts[1:], strict=True))


def settled(*hours: int) -> dict[str, Any]:
    return enveloped(*({"symbol": "B", "fundingRate": "0.0001", "fundingTime": str(NOW - h * MS_HOUR)} for h in hours))


def test_funding_is_paged_until_it_reaches_before_the_window() -> None:
    asked = Request("/", {"pageSize": 3, "pageNo": 2}, window=WINDOW, clip_start=True, clip_end=True)
    assert (more := next_request("bitget", "funding_rates", asked, settled(32, 40, 48))) and more.params["pageNo"] == 3
    assert next_request("bitget", "funding_rates", asked, settled(40, 48, 56)) is None, "the last lies before the window"
    assert next_request("bitget", "funding_rates", asked, settled(40, 48)) is None, "a short page is the last"
    assert next_request("bitget", "funding_rates", asked, settled()) is None


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"code": "429", "msg": "Too Many Requests"}, VenueProblem("limited", "429 Too Many Requests")),
        (400, {"code": "40034", "msg": "Parameter does not exist"}, VenueProblem("rejected", "40034 Parameter does not exist")),
        (500, {"code": "40725", "msg": "service return an error"}, VenueProblem("transient", "40725 service return an error")),
        (200, {"code": "40725", "msg": ""}, VenueProblem("transient", "40725")),
        (200, enveloped(), None),
        (200, {"data": []}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    """Success is the text of five zeros; a number would be no answer of this venue."""
    assert error(status, json.dumps(body).encode()) == says
    assert error(status, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------

ENDPOINTS = {
    f"/api/v2/mix/market/{endpoint}": dataset
    for endpoint, dataset in {
        "contracts": "instruments", "tickers": "tickers", "current-fund-rate": "running_rates",
        "history-fund-rate": "funding_rates", "history-candles": "candles", "history-mark-candles": "mark_candles",
        "history-index-candles": "index_candles",
    }.items()
}  # fmt: skip
#: What was recorded is of v1, whose names were others.
SAMPLES = wire_samples(ENDPOINTS, ["api.bitget.com"], examples="bitget")
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")

COLUMNS: dict[str, dict[str, str | int]] = {
    "instruments": {
        "symbol": "symbol", "base_coin": "baseCoin", "quote_coin": "quoteCoin", "symbol_type": "symbolType",
        "symbol_status": "symbolStatus", "fund_interval": "fundInterval", "launch_time": "launchTime", "off_time": "offTime",
        "is_rwa": "isRwa",
    },
    "tickers": {
        "symbol": "symbol", "holding_amount": "holdingAmount", "mark_price": "markPrice", "index_price": "indexPrice",
    },
    "running_rates": {
        "symbol": "symbol", "funding_rate": "fundingRate", "funding_rate_interval": "fundingRateInterval",
        "next_update": "nextUpdate",
    },
    "funding_rates": {"symbol": "symbol", "funding_rate": "fundingRate", "funding_time": "fundingTime"},
    "candles": {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 6},
    **{name: {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4} for name in ("mark_candles", "index_candles")},
}  # fmt: skip


@recorded
def test_all_samples_are_here() -> None:
    assert Counter(sample.dataset for sample in SAMPLES) == dict.fromkeys(COLUMNS, 1)


@recorded
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(sample: Sample) -> None:
    rows = decoded("bitget", sample)
    assert rows and rows_match_wire(rows, exact(sample)["data"], COLUMNS[sample.dataset])


# --- traps ------------------------------------------------------------------------------------------------------------------


def test_perpetuals_in_usdt_alone() -> None:
    contract = {"baseCoin": "BTC", "quoteCoin": "USDT", "symbolType": "perpetual", "symbolStatus": "normal"}
    page = SOURCE.endpoint("instruments").read(
        json.dumps(
            enveloped(
                {"symbol": "BTCUSDT", **contract},
                {"symbol": "1000BONKUSDT", **contract, "baseCoin": "1000BONK"},
                {"symbol": "BTCUSDT_231229", **contract, "symbolType": "delivery"},
                {"symbol": "BTCPERP", **contract, "quoteCoin": "USDC"},
            )
        ).encode()
    )
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("BTCUSDT", "BTC"), ("1000BONKUSDT", "BONK")]


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_the_emulator_keeps_the_venues_limits(emulator: Served) -> None:
    def ask(endpoint: str, **params: Any) -> Any:
        params = {"productType": "usdt-futures", "symbol": "BTCUSDT", **params}
        return httpx.get(f"{emulator.url}/bitget/api/v2/mix/market/{endpoint}", params=params).json()

    pages = [ask("history-fund-rate", pageSize=2, pageNo=n)["data"] for n in (1, 2)]
    times = [int(row["fundingTime"]) for page in pages for row in page]
    assert times == sorted(times, reverse=True) and len(set(times)) == 4
    bars = ask("history-candles", granularity="1H", limit=200, startTime=NOW - 80 * DAY, endTime=NOW)["data"]
    assert len(bars) == 200 and int(bars[-1][0]) == NOW - MS_HOUR, "the last of a window, oldest first, none that is not over"
    for refused in (
        ask("history-candles", granularity="1H", limit=201),
        ask("history-candles", granularity="1H", startTime=NOW - 91 * DAY, endTime=NOW),
        ask("history-fund-rate", pageSize=101),
        ask("history-fund-rate", symbol="NOUSDT"),
        ask("tickers", productType="SPOT"),
    ):
        assert refused["code"] != "00000" and refused["data"] is None


def test_ccxt_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    bitget = through_ccxt(
        "bitget", emulator, "https://api.{hostname}", "/bitget", has={"fetchCurrencies": False},
        options={"fetchMarkets": {"types": ["swap"], "productTypes": ["USDT-FUTURES"]}, "defaultType": "swap", "uta": False},
    )  # fmt: skip
    since = NOW - 3 * DAY
    for coin in COINS:
        market = bitget.market(f"{coin}/USDT:USDT")
        assert (market["linear"], market["swap"], market["contractSize"]) == (True, True, 1)
        rates = bitget.fetch_funding_rate_history(market["symbol"], since, 100)
        expected = [row[:2] for row in store_rows(store.funding("bitget", coin), Window(since, NOW + 1))]
        assert [(r["timestamp"], r["fundingRate"]) for r in rates] == expected
        bars = bitget.fetch_ohlcv(market["symbol"], "1h", since, 72)
        trades = [row[:6] for row in store_rows(store.candles("bitget", coin, "trade"), Window(since, NOW))]
        assert [tuple(bar) for bar in bars] == trades and len(trades) == 72
        held = bitget.fetch_tickers([market["symbol"]])[market["symbol"]]["info"]["holdingAmount"]
        *_, last = store_rows(store.open_interest("bitget", coin), Window(NOW - DAY, NOW + 1))
        assert float(held) == last[1]


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("bitget", emulator, tmp_path, assets=list(COINS))
    for coin in COINS:
        where = f"where symbol = '{coin}USDT' order by 1"
        assert query(f"select funding_time, funding_rate from raw.bitget__funding_rates {where}") == [
            row[:2] for row in store_rows(store.funding("bitget", coin))
        ]
        for table, kind in {"candles": "trade", "mark_candles": "mark", "index_candles": "index"}.items():
            bars = list(store_rows(store.candles("bitget", coin, kind)))  # type: ignore[arg-type]
            assert len(bars) == 48
            found = query(f"select open_time, open, high, low, close from raw.bitget__{table} {where}")
            assert found == [row[:5] for row in bars]
        *_, held = store_rows(store.open_interest("bitget", coin), Window(NOW - DAY, NOW + 1))
        assert query(f"select holding_amount from raw.bitget__tickers {where}") == [(held[1],)]


def test_tomorrows_first_page_is_asked_for_anew(emulator: Served, tmp_path: Path) -> None:
    """Pages are counted from the newest row: the same request brings other rows a day later."""
    asked = []
    for window in (Window(NOW - 3 * DAY, NOW - DAY), WINDOW, WINDOW):
        emulator.clear_requests()
        assert not fetch_from_emulator("bitget", emulator, tmp_path, window, assets=["BTC"])[1].failures
        asked.append(sum(r["path"].endswith("history-fund-rate") for r in emulator.requests()))
    assert asked == [1, 1, 0], "the same window again is answered from landing"
