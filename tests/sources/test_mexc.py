"""MEXC, by what the venue's page says: whole contracts, bars in columns and seconds, funding in numbered pages."""

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
from infra.emulator.venues.mexc import COINS_A_CONTRACT
from pipelines.source import Instrument, Request, VenueProblem
from pipelines.sources.mexc import SOURCE, error, instruments
from pipelines.windows import Window
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    decoded,
    exact,
    load_and_query,
    next_request,
    planned_requests,
    rows_match_wire,
    store_rows,
    through_ccxt,
    wire_samples,
)
from tests.sources.samples import WIRE

ROOT = "https://contract.mexc.com/api/v1/contract"
COINS = ("BTC", "PEPE", "DOGE")


def enveloped(data: Any) -> dict[str, Any]:
    return {"success": True, "code": 0, "data": data}


# --- requests ---------------------------------------------------------------------------------------------------------------


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21: both ends of a window of bars are sent, in seconds, inclusive; funding takes none."""
    bars = "interval=Min60&start=1795132800&end=1795305599"
    assert planned_requests("mexc", "BTC_USDT", WINDOW) == {
        "instruments": [f"GET {ROOT}/detail"],
        "tickers": [f"GET {ROOT}/ticker"],
        "running_rates": [f"GET {ROOT}/funding_rate"],
        "funding_rates": [f"GET {ROOT}/funding_rate/history?symbol=BTC_USDT&page_num=1&page_size=100"],
        "candles": [f"GET {ROOT}/kline/BTC_USDT?{bars}"],
        "mark_candles": [f"GET {ROOT}/kline/fair_price/BTC_USDT?{bars}"],
        "index_candles": [f"GET {ROOT}/kline/index_price/BTC_USDT?{bars}"],
    }


def test_no_page_of_bars_can_be_cut() -> None:
    requests = list(SOURCE.endpoint("candles").plan(Instrument("BTC_USDT", "BTC"), Window(NOW - 365 * DAY, NOW)))
    starts = [int(request.params["start"]) for request in requests] + [NOW // 1000]
    assert max(b - a for a, b in pairwise(starts)) <= 2000 * 3600
    assert all(int(request.params["end"]) + 1 == b for request, b in zip(requests, starts[1:], strict=True))


def settled(*hours: int) -> dict[str, Any]:
    rows = [{"symbol": "B", "fundingRate": 0.0001, "settleTime": NOW - h * MS_HOUR} for h in hours]
    return enveloped({"pageSize": 3, "totalPage": 9, "currentPage": 2, "resultList": rows})


def test_funding_is_paged_until_it_reaches_before_the_window() -> None:
    asked = Request("/", {"page_size": 3, "page_num": 2}, window=WINDOW, clip_start=True, clip_end=True)
    assert (more := next_request("mexc", "funding_rates", asked, settled(32, 40, 48))) and more.params["page_num"] == 3
    assert next_request("mexc", "funding_rates", asked, settled(40, 48, 56)) is None, "the last lies before the window"
    assert next_request("mexc", "funding_rates", asked, settled(40, 48)) is None, "a short page is the last"


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, {"success": False, "code": 510, "message": "Too frequent"}, VenueProblem("limited", "510 Too frequent")),
        (429, {"success": False, "code": 510}, VenueProblem("limited", "510")),
        (200, {"success": False, "code": 1001, "message": "No contract"}, VenueProblem("rejected", "1001 No contract")),
        (500, {"success": False, "code": 500}, VenueProblem("transient", "500")),
        (200, enveloped([]), None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(510, b"<html>") == VenueProblem("limited", "510"), "as a status too"
    assert error(200, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------

ENDPOINTS = {
    f"/api/v1/contract/{endpoint}": dataset
    for endpoint, dataset in {
        "detail": "instruments", "ticker": "tickers", "funding_rate": "running_rates", "funding_rate/history": "funding_rates",
    }.items()
}  # fmt: skip
#: The sample of one contract is an object where the list is an array: we ask for the list.
SAMPLES = [s for s in wire_samples(ENDPOINTS, ["contract.mexc.com"], examples="mexc") if not s.file.endswith("GetSymbol")]
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")

COLUMNS: dict[str, dict[str, str | int]] = {
    "instruments": {
        "symbol": "symbol", "base_coin": "baseCoin", "quote_coin": "quoteCoin", "settle_coin": "settleCoin",
        "contract_size": "contractSize", "state": "state", "create_time": "createTime",
    },
    "tickers": {"symbol": "symbol", "hold_vol": "holdVol", "fair_price": "fairPrice", "index_price": "indexPrice"},
    "running_rates": {
        "symbol": "symbol", "funding_rate": "fundingRate", "collect_cycle": "collectCycle", "next_settle_time": "nextSettleTime",
    },
    "funding_rates": {"symbol": "symbol", "funding_rate": "fundingRate", "settle_time": "settleTime"},
}  # fmt: skip


@recorded
def test_all_samples_are_here() -> None:
    """Of bars there is none: their shape is the page's."""
    assert Counter(sample.dataset for sample in SAMPLES) == dict.fromkeys(COLUMNS, 1)


@recorded
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(sample: Sample) -> None:
    data = exact(sample)["data"]
    rows = decoded("mexc", sample)
    assert rows and rows_match_wire(
        rows, data["resultList"] if sample.dataset == "funding_rates" else data, COLUMNS[sample.dataset]
    )


# --- traps ------------------------------------------------------------------------------------------------------------------


def test_bars_are_columns_in_seconds() -> None:
    candles = SOURCE.endpoint("candles")
    chart = {"time": [1795132800], "open": [1], "close": [2.5], "high": [3], "low": [0.5], "vol": [7], "amount": [14]}
    [bar] = candles.rows(candles.read(json.dumps(enveloped(chart)).encode()))
    assert (bar.open_time, bar.open, bar.high, bar.low, bar.close) == (1795132800000, 1, 3, 0.5, 2.5)
    assert (bar.volume, bar.amount) == (7, 14)
    with pytest.raises(ValueError, match="zip"):
        candles.rows(candles.read(json.dumps(enveloped(chart | {"low": []})).encode()))
    with pytest.raises(ValueError, match="time"):
        candles.read(json.dumps(enveloped(chart | {"time": [1795132800000]})).encode())


def test_perpetuals_in_usdt_alone() -> None:
    contract = {"contractSize": 1, "state": 0, "quoteCoin": "USDT", "settleCoin": "USDT"}
    page = SOURCE.endpoint("instruments").read(
        json.dumps(
            enveloped(
                [
                    {"symbol": "BTC_USDT", "baseCoin": "BTC", **contract},
                    {"symbol": "1000BONK_USDT", "baseCoin": "1000BONK", **contract},
                    {"symbol": "BTC_USD", "baseCoin": "BTC", **contract, "quoteCoin": "USD", "settleCoin": "BTC"},
                ]
            )
        ).encode()
    )
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("BTC_USDT", "BTC"), ("1000BONK_USDT", "BONK")]


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_the_emulator_keeps_the_venues_limits(emulator: Served) -> None:
    def ask(endpoint: str, **params: Any) -> Any:
        return httpx.get(f"{emulator.url}/mexc/api/v1/contract/{endpoint}", params=params).json()

    pages = [ask("funding_rate/history", symbol="BTC_USDT", page_size=2, page_num=n)["data"] for n in (1, 2)]
    times = [row["settleTime"] for page in pages for row in page["resultList"]]
    assert times == sorted(times, reverse=True) and len(set(times)) == 4 and pages[0]["totalPage"] > 100
    bars = ask("kline/BTC_USDT", interval="Min60", start=(NOW - 100 * DAY) // 1000, end=NOW // 1000)["data"]["time"]
    assert len(bars) == 2000 and bars[0] == (NOW - 100 * DAY) // 1000, "the first of a window"
    for refused in (
        ask("kline/NO_USDT", interval="Min60"),
        ask("kline/BTC_USDT", interval="Min1"),
        ask("funding_rate/history", symbol="BTC_USDT", page_size=101),
        ask("nothing"),
    ):
        assert refused["success"] is False and refused["code"] != 0


def test_ccxt_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    # It asks for the spot markets first, which are of another host and none of ours.
    mexc = through_ccxt("mexc", emulator, "https://api.mexc.com", "/mexc", fetch_spot_markets=lambda params: [])
    since = NOW - 3 * DAY
    for coin in COINS:
        market = mexc.market(f"{coin}/USDT:USDT")
        assert (market["linear"], market["swap"], market["contractSize"]) == (True, True, COINS_A_CONTRACT[coin])
        rates = mexc.fetch_funding_rate_history(market["symbol"], since, 100)
        expected = [row[:2] for row in store_rows(store.funding("mexc", coin), Window(since, NOW + 1))]
        assert [(r["timestamp"], r["fundingRate"]) for r in rates if r["timestamp"] >= since] == expected
        bars = mexc.fetch_ohlcv(market["symbol"], "1h", since, 72)
        trades = list(store_rows(store.candles("mexc", coin, "trade"), Window(since, NOW)))
        assert [bar[:5] for bar in bars] == [list(row[:5]) for row in trades] and len(trades) == 72
        size = COINS_A_CONTRACT[coin]
        assert [bar[5] * size for bar in bars] == pytest.approx([row[5] for row in trades], abs=size / 2)


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("mexc", emulator, tmp_path, assets=list(COINS))
    for coin in COINS:
        where = f"where symbol = '{coin}_USDT' order by 1"
        assert query(f"select settle_time, funding_rate from raw.mexc__funding_rates {where}") == [
            row[:2] for row in store_rows(store.funding("mexc", coin))
        ]
        for table, kind in {"candles": "trade", "mark_candles": "mark", "index_candles": "index"}.items():
            bars = list(store_rows(store.candles("mexc", coin, kind)))  # type: ignore[arg-type]
            found = query(f"select open_time, open, high, low, close from raw.mexc__{table} {where}")
            assert len(bars) == 48 and found == [row[:5] for row in bars]
        *_, held = store_rows(store.open_interest("mexc", coin), Window(NOW - DAY, NOW + 1))
        [(lots,)] = query(f"select hold_vol from raw.mexc__tickers {where}")
        assert lots * COINS_A_CONTRACT[coin] == pytest.approx(held[1], abs=COINS_A_CONTRACT[coin] / 2)
