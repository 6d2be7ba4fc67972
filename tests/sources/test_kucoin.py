"""KuCoin Futures, by what the venue's page says: lots, XBT, an envelope with a code, what remains until a settlement."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.source import Instrument, VenueProblem
from pipelines.sources.kucoin import SOURCE, error
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
    store_rows,
    through_ccxt,
    wire_samples,
)
from tests.sources.samples import WIRE

HOST = "https://api-futures.kucoin.com/api/v1"
#: The venue's symbol, the store's coin, listed coins in a lot.
MARKETS = [("XBTUSDTM", "BTC", 0.001), ("1000PEPEUSDTM", "1000PEPE", 10), ("DOGEUSDTM", "DOGE", 100)]


def enveloped(*rows: Any) -> dict[str, Any]:
    return {"code": "200000", "data": list(rows)}


# --- requests ---------------------------------------------------------------------------------------------------------------


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21: both ends of a window are sent, inclusive; the hundreds of hours are counted from the epoch."""
    assert planned_requests("kucoin", "XBTUSDTM", WINDOW) == {
        "instruments": [f"GET {HOST}/contracts/active"],
        "funding_rates": [f"GET {HOST}/contract/funding-rates?symbol=XBTUSDTM&from=1795132800000&to=1795305599999"],
        "candles": [f"GET {HOST}/kline/query?symbol=XBTUSDTM&granularity=60&from=1795132800000&to=1795305599999"],
    }


def test_no_page_can_hold_more_than_the_venue_sends() -> None:
    """So none needs another page."""
    year = Window(NOW - 365 * DAY, NOW)
    for dataset, most in {"funding_rates": 100, "candles": 200}.items():
        requests = list(SOURCE.endpoint(dataset).plan(Instrument("XBTUSDTM", "BTC"), year))
        starts = [int(request.params["from"]) for request in requests] + [year.end]
        assert max(b - a for a, b in pairwise(starts)) <= most * MS_HOUR
        assert all(int(request.params["to"]) + 1 == b for request, b in zip(requests, starts[1:], strict=True))
        row = {"funding_rates": rate(), "candles": [NOW, 1, 1, 1, 1, 1]}[dataset]
        assert next_request("kucoin", dataset, requests[0], enveloped(*[row] * most)) is None
        assert next_request("kucoin", dataset, requests[0], enveloped()) is None


def rate(**more: Any) -> dict[str, Any]:
    return {"symbol": "XBTUSDTM", "fundingRate": 0.0001, "timepoint": NOW} | more


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"code": "429000", "msg": "Too many requests"}, VenueProblem("limited", "429000 Too many requests")),
        (200, {"code": "429000", "msg": "Too many requests"}, VenueProblem("limited", "429000 Too many requests")),
        (500, {"code": "500000", "msg": "Internal Server Error"}, VenueProblem("transient", "500000 Internal Server Error")),
        (200, {"code": "400100", "msg": "Parameter Error"}, VenueProblem("rejected", "400100 Parameter Error")),
        (404, {"code": "404000"}, VenueProblem("rejected", "404000")),
        (200, enveloped(), None),
        (200, {"data": []}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(status, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------

ENDPOINTS = {
    "/api/v1/contracts/active": "instruments",
    "/api/v1/contract/funding-rates": "funding_rates",
    "/api/v1/kline/query": "candles",
}
#: KuMEX was the name of KuCoin Futures.
SAMPLES = wire_samples(ENDPOINTS, ["api-futures.kucoin.com", "api.kumex.com"], examples="kucoin")
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")

CONTRACT = {
    "symbol": "symbol",
    "type": "type",
    "base_currency": "baseCurrency",
    "quote_currency": "quoteCurrency",
    "settle_currency": "settleCurrency",
    "is_inverse": "isInverse",
    "status": "status",
    "first_open_date": "firstOpenDate",
    "expire_date": "expireDate",
    "funding_rate_granularity": "fundingRateGranularity",
    "next_funding_rate_time": "nextFundingRateTime",
    "next_funding_rate_date_time": "nextFundingRateDateTime",
    "multiplier": "multiplier",
    "funding_fee_rate": "fundingFeeRate",
    "open_interest": "openInterest",
    "mark_price": "markPrice",
    "index_price": "indexPrice",
}
NUMBERS = {"multiplier", "funding_fee_rate", "open_interest", "mark_price", "index_price", "funding_rate"}
COLUMNS: dict[str, dict[str, Any]] = {
    "instruments": CONTRACT,
    "funding_rates": {"symbol": "symbol", "timepoint": "timepoint", "funding_rate": "fundingRate"},
    "candles": {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5},
}


@recorded
def test_all_samples_are_here() -> None:
    assert Counter(sample.dataset for sample in SAMPLES) == {"instruments": 2, "funding_rates": 1, "candles": 1}


@recorded
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(sample: Sample) -> None:
    rows, names = decoded("kucoin", sample), COLUMNS[sample.dataset]
    assert len(rows) == len(exact(sample)["data"]) > 0
    for row, raw in zip(rows, exact(sample)["data"], strict=True):
        assert set(row) == set(names)
        for ours, theirs in names.items():
            held = raw[theirs] if isinstance(raw, list) else raw.get(theirs)
            exactly = float(Decimal(held)) if held is not None and (ours in NUMBERS or isinstance(raw, list)) else held
            assert row[ours] == exactly, ours


# --- traps ------------------------------------------------------------------------------------------------------------------


def contract(**more: Any) -> dict[str, Any]:
    return {
        "symbol": "XBTUSDTM",
        "type": "FFWCSX",
        "baseCurrency": "XBT",
        "quoteCurrency": "USDT",
        "settleCurrency": "USDT",
        "multiplier": 0.001,
        "isInverse": False,
        "isQuanto": True,
        "status": "Open",
    } | more


def test_perpetuals_settled_in_usdt_and_xbt_is_btc() -> None:
    page = enveloped(
        contract(),
        contract(symbol="1000PEPEUSDTM", baseCurrency="1000PEPE"),
        contract(symbol="XBTUSDM", quoteCurrency="USD", settleCurrency="XBT", multiplier=-1, isInverse=True),
        contract(symbol="XBTMZ26", type="FFICSX"),
    )
    assert SOURCE.parse_instruments
    found = SOURCE.parse_instruments(SOURCE.endpoint("instruments").read(json.dumps(page).encode()))
    assert [(i.symbol, i.base_asset) for i in found] == [("XBTUSDTM", "BTC"), ("1000PEPEUSDTM", "PEPE")]


def test_seconds_are_no_milliseconds() -> None:
    for name, row in {"funding_rates": rate(timepoint=NOW // 1000), "candles": [NOW // 1000, 1, 1, 1, 1, 1]}.items():
        with pytest.raises(msgspec.ValidationError):
            SOURCE.endpoint(name).read(json.dumps(enveloped(row)).encode())


# --- the emulator -----------------------------------------------------------------------------------------------------------


def ask(emulator: Served, path: str, **params: Any) -> tuple[int, Any]:
    answer = httpx.get(f"{emulator.url}/kucoin/api/v1/{path}", params=params)
    return answer.status_code, answer.json()


def test_the_emulator_answers_as_the_venue_does(emulator: Served) -> None:
    assert ask(emulator, "contract/funding-rates", symbol="XBTUSDTM", **{"from": 0})[1]["code"] == "400100"
    assert ask(emulator, "contract/funding-rates", symbol="BTCUSDTM", **{"from": 0, "to": NOW})[1]["code"] == "100001"
    assert ask(emulator, "nothing")[0] == 404
    _, rates = ask(emulator, "contract/funding-rates", symbol="DOGEUSDTM", **{"from": 0, "to": NOW})
    assert [row["timepoint"] for row in rates["data"]] == [NOW - n * 4 * MS_HOUR for n in range(100)]
    _, bars = ask(emulator, "kline/query", symbol="XBTUSDTM", granularity=60, **{"from": NOW - 600 * MS_HOUR, "to": NOW})
    assert [bar[0] for bar in bars["data"]] == [NOW - (600 - n) * MS_HOUR for n in range(500)]
    _, active = ask(emulator, "contracts/active")
    [xbt] = [row for row in active["data"] if row["symbol"] == "XBTUSDTM"]
    assert (xbt["nextFundingRateTime"], xbt["nextFundingRateDateTime"]) == (8 * MS_HOUR, NOW + 8 * MS_HOUR)


def test_ccxt_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    """Lots, rates and bars: the store's numbers."""
    kucoin = through_ccxt("kucoinfutures", emulator, "https://api-futures.kucoin.com", "/kucoin", has={"fetchCurrencies": False})
    assert len(kucoin.markets) == 8
    since = NOW - 3 * DAY
    for id_, coin, size in MARKETS:
        [market] = [m for m in kucoin.markets.values() if m["id"] == id_]
        assert (market["linear"], market["swap"], market["contractSize"]) == (True, True, size)
        assert (market["base"] == "BTC") == (coin == "BTC")
        rates = kucoin.fetch_funding_rate_history(market["symbol"], since, 100)
        funding = store.funding("kucoin", coin)
        assert [(r["timestamp"], r["fundingRate"]) for r in rates] == [
            row[:2] for row in store_rows(funding, Window(since, NOW + 1))
        ]
        bars = kucoin.fetch_ohlcv(market["symbol"], "1h", since, 72)
        trades = list(store_rows(store.candles("kucoin", coin, "trade"), Window(since, NOW)))
        assert len(trades) == 72
        assert [tuple(bar) for bar in bars] == [(*row[:5], round(row[5] / size)) for row in trades]


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("kucoin", emulator, tmp_path, assets=["BTC", "PEPE", "DOGE"])
    for id_, coin, size in MARKETS:
        where = f"where symbol = '{id_}' order by 1"
        assert query(f"select timepoint, funding_rate from raw.kucoin__funding_rates {where}") == [
            row[:2] for row in store_rows(store.funding("kucoin", coin))
        ]
        bars = list(store_rows(store.candles("kucoin", coin, "trade")))
        assert len(bars) == 48
        assert query(f"select open_time, open, high, low, close, volume from raw.kucoin__candles {where}") == [
            (*row[:5], round(row[5] / size)) for row in bars
        ]
        *_, held = store_rows(store.open_interest("kucoin", coin), Window(NOW - DAY, NOW + 1))
        [found] = query(f"select open_interest, funding_fee_rate from raw.kucoin__instruments {where}")
        assert found == (round(held[1] / size), store.running_rate("kucoin", coin, NOW))
