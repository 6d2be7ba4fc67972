"""HTX, both kinds of swap, by what the venue's page says: two envelopes, both sides of a trade, histories that can't be paged."""

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
from infra.emulator.venues.htx import COINS, DOLLARS
from pipelines.source import Instrument, Request, VenueProblem
from pipelines.sources.htx_linear import SOURCE, error, instruments
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

ROOT = "https://api.hbdm.com"
KINDS = {"htx_linear": ("linear-swap", "linear_swap", "USDT"), "htx_coinm": ("swap", "swap", "USD")}


def enveloped(data: Any, **more: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data, "ts": NOW, **more}


# --- requests ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_the_requests_of_two_days(name: str) -> None:
    """2026-11-20 and -21: bars in seconds, inclusive; what has no window is its latest rows."""
    path, marks, quote = KINDS[name]
    api, code = f"GET {ROOT}/{path}-api/v1", f"contract_code=BTC-{quote}"
    business = "?business_type=swap" if name == "htx_linear" else ""
    bars = f"{code}&period=60min&from=1795132800&to=1795305599"
    assert planned_requests(name, f"BTC-{quote}", WINDOW, without="liquidations") == {
        "instruments": [f"{api}/swap_contract_info{business}"],
        "open_interest_now": [f"{api}/swap_open_interest{business}"],
        "running_rates": [f"{api}/swap_batch_funding_rate"],
        "open_interest": [f"{api}/swap_his_open_interest?{code}&period=60min&size=200&amount_type=1"],
        "funding_rates": [f"{api}/swap_historical_funding_rate?{code}&page_index=1&page_size=50"],
        "candles": [f"GET {ROOT}/{path}-ex/market/history/kline?{bars}"],
        "mark_candles": [f"GET {ROOT}/index/market/history/{marks}_mark_price_kline?{code}&period=60min&size=2000"],
    }


def test_no_page_of_bars_can_be_cut_and_what_is_forgotten_is_not_asked_for() -> None:
    requests = list(SOURCE.endpoint("candles").plan(Instrument("BTC-USDT", "BTC"), Window(NOW - 365 * DAY, NOW)))
    starts = [int(request.params["from"]) for request in requests] + [NOW // 1000]
    assert max(b - a for a, b in pairwise(starts)) <= 2000 * 3600
    kept = {d.name: d.history_days for d in SOURCE.endpoints if d.history_days}
    assert kept == {"open_interest": 200 / 24, "liquidations": 90, "candles": 730, "mark_candles": 2000 / 24}


def settled(*hours: int) -> dict[str, Any]:
    rows = [
        {"contract_code": "B", "funding_rate": "0.0001", "realized_rate": "null", "funding_time": str(NOW - h * MS_HOUR)}
        for h in hours
    ]
    return enveloped({"total_page": 9, "data": rows})


def test_funding_is_paged_until_it_reaches_before_the_window() -> None:
    asked = Request("/", {"page_size": 3, "page_index": 2}, window=WINDOW, clip_start=True, clip_end=True)
    assert (more := next_request("htx_linear", "funding_rates", asked, settled(32, 40, 48))) and more.params["page_index"] == 3
    assert next_request("htx_linear", "funding_rates", asked, settled(40, 48, 56)) is None, "the last lies before the window"
    assert next_request("htx_linear", "funding_rates", asked, settled(40, 48)) is None, "a short page is the last"


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (
            200,
            {"status": "error", "err_code": 1014, "err_msg": "Invalid contract."},
            VenueProblem("rejected", "1014 Invalid contract."),
        ),
        (200, {"code": 1014, "message": "Invalid contract."}, VenueProblem("rejected", "1014 Invalid contract.")),
        (200, {"status": "error", "err_code": 1032, "err_msg": "Exceeded"}, VenueProblem("limited", "1032 Exceeded")),
        (429, {"status": "error", "err_code": 1, "err_msg": ""}, VenueProblem("limited", "1")),
        (200, {"status": "error", "err_code": 1004, "err_msg": "Busy"}, VenueProblem("transient", "1004 Busy")),
        (200, {"code": 200, "msg": "ok", "data": []}, None),
        (200, enveloped([]), None),
    ],
)
def test_errors_by_kind_in_both_envelopes(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(status, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------

LINEAR = {
    "/linear-swap-api/v1/swap_contract_info": "instruments", "/linear-swap-api/v1/swap_open_interest": "open_interest_now",
    "/linear-swap-api/v1/swap_batch_funding_rate": "running_rates",
    "/linear-swap-api/v1/swap_his_open_interest": "open_interest",
    "/linear-swap-api/v1/swap_historical_funding_rate": "funding_rates", "/linear-swap-ex/market/history/kline": "candles",
    "/index/market/history/linear_swap_mark_price_kline": "mark_candles",
}  # fmt: skip
COIN = {"/swap-api/v1/swap_contract_info": "instruments", "/swap-api/v1/swap_open_interest": "open_interest_now"}
#: One recorded answer is cut off in the recording itself.
SAMPLES = [("htx_linear", sample) for sample in wire_samples(LINEAR, ["api.hbdm.com"], examples="htx")]
SAMPLES += [("htx_coinm", sample) for sample in wire_samples(COIN, ["api.hbdm.com"])]
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")

PRICES = {"time": "id", "open": "open", "high": "high", "low": "low", "close": "close"}
COLUMNS: dict[str, dict[str, str]] = {
    "instruments": {
        name: name for name in ("contract_code", "symbol", "contract_size", "contract_status", "create_date", "business_type")
    },
    "open_interest_now": {name: name for name in ("contract_code", "volume", "amount", "value", "business_type")},
    "running_rates": {name: name for name in ("contract_code", "funding_rate", "funding_time")},
    "open_interest": {name: name for name in ("volume", "ts", "value")},
    "funding_rates": {name: name for name in ("contract_code", "funding_rate", "funding_time")},
    "candles": PRICES | {"vol": "vol", "amount": "amount", "trade_turnover": "trade_turnover"},
    "mark_candles": PRICES,
}


@recorded
def test_all_samples_are_here() -> None:
    assert Counter((name, sample.dataset) for name, sample in SAMPLES) == {
        ("htx_linear", "instruments"): 2,
        **{("htx_linear", dataset): 1 for dataset in COLUMNS if dataset != "instruments"},
        ("htx_coinm", "instruments"): 3,
        ("htx_coinm", "open_interest_now"): 1,
    }


@recorded
@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(name: str, sample: Sample) -> None:
    data = exact(sample)["data"]
    wire = data["tick"] if sample.dataset == "open_interest" else data["data"] if sample.dataset == "funding_rates" else data
    columns: dict[str, str | int] = dict(COLUMNS[sample.dataset])
    rows = decoded(name, sample)
    if "time" in columns:
        wire = [row | {"id": row["id"] * 1000} for row in wire]
    if "business_type" in columns:
        wire = [{"business_type": "swap", **row} for row in wire]
    assert rows and rows_match_wire(rows, wire, columns)


# --- traps ------------------------------------------------------------------------------------------------------------------


def test_perpetuals_alone() -> None:
    contract = {"symbol": "BTC", "contract_size": 0.001, "contract_status": 1, "create_date": "20201021"}
    rows = [
        {"contract_code": "BTC-USDT", **contract, "business_type": "swap"},
        {"contract_code": "BTC-USDT-211231", **contract, "business_type": "futures"},
        {"contract_code": "1000BONK-USDT", **contract, "symbol": "1000BONK", "business_type": "swap"},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps(enveloped(rows)).encode())
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("BTC-USDT", "BTC"), ("1000BONK-USDT", "BONK")]


def test_a_bar_stamped_in_milliseconds_is_refused() -> None:
    bar = {"id": 1603695060000, "open": 1, "high": 1, "low": 1, "close": 1, "vol": 4, "amount": 0.004}
    with pytest.raises(ValueError, match="id"):
        SOURCE.endpoint("candles").read(json.dumps(enveloped([bar])).encode())


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_the_emulator_keeps_the_venues_limits(emulator: Served) -> None:
    def ask(path: str, **params: Any) -> Any:
        params = {"contract_code": "BTC-USDT", **params}
        return httpx.get(f"{emulator.url}/htx/{path}", params=params).json()

    funding = "linear-swap-api/v1/swap_historical_funding_rate"
    pages = [ask(funding, page_size=2, page_index=n)["data"]["data"] for n in (1, 2)]
    times = [int(row["funding_time"]) for page in pages for row in page]
    assert times == sorted(times, reverse=True) and len(set(times)) == 4
    history = ask("linear-swap-api/v1/swap_his_open_interest", period="60min", amount_type=1, size=200)["data"]["tick"]
    assert len(history) == 200 and history[0]["ts"] == NOW and history[-1]["ts"] == NOW - 199 * MS_HOUR, "newest first, no more"
    kline = "linear-swap-ex/market/history/kline"
    both = {"from": (NOW - 90 * DAY) // 1000, "to": NOW // 1000}
    assert len(ask(kline, period="60min", **both)["data"]) == 2000
    assert ask(kline, period="60min", size=3, **both)["data"][-1]["id"] * 1000 == NOW - MS_HOUR, "a size goes before the ends"
    for refused in (
        ask(kline, period="1min"),
        ask(kline, period="60min", contract_code="NO-USDT"),
        ask(funding, page_size=51),
        ask("linear-swap-api/v1/swap_his_open_interest", period="60min", amount_type=1, size=201),
    ):
        assert refused["status"] == "error" and refused["err_code"]


def test_ccxt_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    """Bars and open interest as the venue counts them: both sides."""
    htx = through_ccxt(
        "htx", emulator, "https://{hostname}", "/htx", has={"fetchCurrencies": False},
        options={"fetchMarkets": {"types": {"spot": False}}},
    )  # fmt: skip
    since = NOW - 3 * DAY
    for coin in ("BTC", "PEPE"):
        market = htx.market(f"{coin}/USDT:USDT")
        assert (market["linear"], market["swap"], market["contractSize"]) == (True, True, COINS[coin])
        bars = htx.fetch_ohlcv(market["symbol"], "1h", since, 72)
        trades = list(store_rows(store.candles("htx", coin, "trade"), Window(since, NOW)))
        assert [bar[:5] for bar in bars] == [list(row[:5]) for row in trades] and len(trades) == 72
        assert [bar[5] for bar in bars] == pytest.approx([2 * row[5] for row in trades])
        held = htx.fetch_open_interest_history(market["symbol"], "1h", None, 48, {"amount_type": 1})
        truth = list(store_rows(store.open_interest("htx", coin), Window(NOW - 2 * DAY, NOW + 1)))[-48:]
        assert [row["timestamp"] for row in held] == [row[0] for row in truth]
        amounts = [row["openInterestAmount"] * COINS[coin] for row in held]
        assert amounts == pytest.approx([2 * row[1] for row in truth], abs=COINS[coin])
    # Of linear swaps it asks another endpoint, which we don't.
    rates = htx.fetch_funding_rate_history("BTC/USD:BTC", None, 9)
    settled = [row[:2] for row in store_rows(store.funding("htx_coinm", "BTC"), Window(since, NOW + 1))]
    assert [(r["timestamp"], r["fundingRate"]) for r in rates] == settled[-9:] and len(rates) == 9
    assert htx.market("BTC/USD:BTC")["inverse"] is True and htx.market("BTC/USD:BTC")["contractSize"] == DOLLARS["BTC"]


@pytest.mark.parametrize("name", KINDS)
def test_the_raw_tables_hold_the_store(name: str, emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    coins = ["BTC", "DOGE"]
    query = load_and_query(name, emulator, tmp_path, assets=coins)
    market = "htx" if name == "htx_linear" else name
    for coin in coins:
        code = f"{coin}-{KINDS[name][2]}"
        assert query(
            f"select funding_time, funding_rate from raw.{name}__funding_rates where contract_code = '{code}' order by 1"
        ) == [row[:2] for row in store_rows(store.funding(market, coin))]
        for table, kind in {"candles": "trade", "mark_candles": "mark"}.items():
            bars = list(store_rows(store.candles(market, coin, kind)))  # type: ignore[arg-type]
            found = query(f"select \"time\", open, high, low, close from raw.{name}__{table} where symbol = '{code}' order by 1")
            assert len(bars) == 48 and found == [row[:5] for row in bars], "none from before the window"
        held = list(store_rows(store.open_interest(market, coin)))
        found = query(f"select ts, volume from raw.{name}__open_interest where symbol = '{code}' order by 1")
        one = COINS.get(coin, 1) if name == "htx_linear" else DOLLARS.get(coin, 10)
        sizes = [2 * row[1] / one if name == "htx_linear" else 2 * row[1] * row[2] / one for row in held]
        assert [row[0] for row in found] == [row[0] for row in held]
        assert [row[1] for row in found] == pytest.approx(sizes, abs=0.5)
