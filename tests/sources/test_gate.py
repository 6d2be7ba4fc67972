"""Gate futures settled in USDT, by what the venue's page says: seconds, contracts, coins listed whole, labels for errors."""

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
from infra.emulator.venues.gate import Gate
from pipelines.source import Instrument, Request, VenueProblem
from pipelines.sources.gate import SOURCE, error
from pipelines.windows import Window
from tests.pipelines.samples import WIRE
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    decoded,
    exact,
    fetched,
    following,
    loaded,
    planned,
    samples,
    seen,
    through_ccxt,
)

HOST = "https://api.gateio.ws/api/v4/futures/usdt"
#: Coins in a contract, as the list of contracts says.
COINS = {"BTC": 0.0001, "PEPE": 10_000_000, "ETH": 0.01}
HOUR_S = 3600


# --- requests ---------------------------------------------------------------------------------------------------------------


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21 lie in one run of a hundred hours, counted from the epoch."""
    span = "from=1795132800&to=1795305599&interval=1h"
    assert planned("gate", "BTC_USDT", WINDOW, without="liquidations") == {
        "instruments": [f"GET {HOST}/contracts"],
        "open_interest": [
            f"GET {HOST}/contract_stats?contract=BTC_USDT&from=1795132800&interval=1h&limit=48",
        ],
        "funding_rates": [
            f"GET {HOST}/funding_rate?contract=BTC_USDT&from=1795132800&to=1795305599&limit=100",
        ],
        "candles": [f"GET {HOST}/candlesticks?contract=BTC_USDT&{span}"],
        "mark_candles": [f"GET {HOST}/candlesticks?contract=mark_BTC_USDT&{span}"],
        "index_candles": [f"GET {HOST}/candlesticks?contract=index_BTC_USDT&{span}"],
    }


def test_no_page_can_hold_more_than_the_venue_sends() -> None:
    year = Window(NOW - 365 * DAY, NOW)
    for dataset, most in {"open_interest": 100, "funding_rates": 100, "candles": 1999}.items():
        requests = list(SOURCE.endpoint(dataset).plan(Instrument("BTC_USDT", "BTC"), year))
        starts = [request.params["from"] for request in requests] + [year.end // 1000]
        assert max(int(b) - int(a) for a, b in pairwise(starts)) <= most * HOUR_S
        assert all(request.weights == {request.path.rpartition("/")[2]: 1} for request in requests)


def test_each_endpoint_has_its_own_limit() -> None:
    """200 requests in ten seconds; the emulator counts the same way."""
    assert Gate.limits == {name: (limit.weight, limit.seconds) for name, limit in SOURCE.limits.items()}
    assert set(Gate.limits.values()) == {(200, 10)}


# --- paging -----------------------------------------------------------------------------------------------------------------


def contract(name: str = "BTC_USDT", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "direct", "quanto_multiplier": "0.0001", "funding_interval": 28800} | more


@pytest.mark.parametrize(("rows", "more"), [(99, False), (100, True), (101, False), (302, False), (0, False)])
def test_a_list_of_exactly_a_hundred_may_have_been_cut(rows: int, more: bool) -> None:
    first = Request("/api/v4/futures/usdt/contracts")
    after = following("gate", "instruments", first, [contract(f"A{n}_USDT") for n in range(rows)])
    assert (after is not None) == more
    if after:
        assert after.params == {"limit": 100, "offset": 100}
        last = following("gate", "instruments", after, [contract(f"B{n}_USDT") for n in range(100)])
        assert last and last.params == {"limit": 100, "offset": 200}


def statistics(*seconds: int) -> list[dict[str, Any]]:
    return [{"time": at, "open_interest": 1} for at in seconds]


def test_statistics_go_on_where_a_page_was_cut_and_end_with_the_hours_asked() -> None:
    start = 1_795_132_800
    [request] = SOURCE.endpoint("open_interest").plan(Instrument("BTC_USDT", "BTC"), WINDOW)
    assert request.window == Window(start * 1000, NOW + DAY)
    whole = statistics(*range(start, NOW // 1000, HOUR_S))
    assert len(whole) == 48
    assert following("gate", "open_interest", request, whole) is None
    assert following("gate", "open_interest", request, []) is None
    after = following("gate", "open_interest", request, whole[:46])
    assert after and after.window == Window(NOW - 2 * MS_HOUR, NOW + DAY)
    assert after.params == {"contract": "BTC_USDT", "from": NOW // 1000 - 2 * HOUR_S, "interval": "1h", "limit": 2}
    # An hour is missing: the page reaches an hour beyond.
    assert following("gate", "open_interest", request, [*whole[:5], *whole[6:], *statistics(NOW // 1000)]) is None


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"label": "TOO_MANY_REQUESTS", "message": "slow"}, VenueProblem("limited", "TOO_MANY_REQUESTS slow")),
        (400, {"label": "TOO_FAST"}, VenueProblem("limited", "TOO_FAST")),
        (403, {"label": "FORBIDDEN", "message": "no"}, VenueProblem("blocked", "FORBIDDEN no")),
        (500, {"label": "SERVER_ERROR", "message": "oh"}, VenueProblem("transient", "SERVER_ERROR oh")),
        (200, {"label": "INTERNAL", "message": "oh"}, VenueProblem("transient", "INTERNAL oh")),
        (503, {"label": "TOO_BUSY"}, VenueProblem("transient", "TOO_BUSY")),
        (400, {"label": "INVALID_PARAM_VALUE", "message": "..."}, VenueProblem("rejected", "INVALID_PARAM_VALUE ...")),
        (400, {"label": "CONTRACT_NOT_FOUND"}, VenueProblem("rejected", "CONTRACT_NOT_FOUND")),
        (200, [contract()], None),
        (200, [], None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(status, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------

ENDPOINTS = {
    "/api/v4/futures/usdt/contracts": "instruments",
    "/api/v4/futures/contracts": "instruments",  # the same before the settle currency came into the path
    "/api/v4/futures/usdt/contract_stats": "open_interest",
    "/api/v4/futures/usdt/funding_rate": "funding_rates",
    "/api/v4/futures/usdt/candlesticks": "candles",
}
SAMPLES = samples(ENDPOINTS, ["api.gateio.ws", "fx-api.gateio.ws"], examples="gate")
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")

NUMBERS = {
    "instruments": {n: n for n in ("quanto_multiplier", "funding_rate", "mark_price", "index_price", "position_size")},
    "open_interest": {n: n for n in ("open_interest", "open_interest_usd", "mark_price")},
    "funding_rates": {"rate": "r"},
    "candles": {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "turnover": "sum"},
}
AS_THEY_ARE = ("name", "type", "funding_interval", "funding_next_apply", "create_time", "launch_time", "delisted_time", "status")
STAMPS = {"open_interest": "time", "funding_rates": "t", "candles": "t"}


@recorded
def test_all_samples_are_here() -> None:
    assert Counter(sample.dataset for sample in SAMPLES) == {
        "instruments": 3,
        "open_interest": 1,
        "funding_rates": 1,
        "candles": 1,
    }
    assert sorted(len(exact(sample)) for sample in SAMPLES if sample.dataset == "instruments") == [1, 22, 302]


@recorded
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(sample: Sample) -> None:
    rows = decoded("gate", sample)
    assert len(rows) == len(exact(sample)) > 0
    for row, raw in zip(rows, exact(sample), strict=True):
        for ours, theirs in NUMBERS[sample.dataset].items():
            assert row[ours] == float(Decimal(raw[theirs])), ours
        if sample.dataset == "instruments":
            assert {n: row[n] for n in AS_THEY_ARE} == {n: raw.get(n) for n in AS_THEY_ARE}
            assert row["in_delisting"] == raw.get("in_delisting", False)
        else:
            assert row["time"] == raw[STAMPS[sample.dataset]] * 1000
            assert len(row) == len(NUMBERS[sample.dataset]) + 1


@recorded
def test_most_rates_stand_at_the_default() -> None:
    """Why two instruments may well have the same bytes."""
    [everything] = [decoded("gate", sample) for sample in SAMPLES if len(exact(sample)) == 302]
    assert Counter(row["funding_rate"] for row in everything)[0.0001] == 264


# --- traps ------------------------------------------------------------------------------------------------------------------


def test_milliseconds_are_no_seconds() -> None:
    for name, row in {"funding_rates": {"r": "0.0001"}, "open_interest": {"open_interest": 1}}.items():
        stamp = {"funding_rates": "t", "open_interest": "time"}[name]
        read = SOURCE.endpoint(name).read
        assert read(json.dumps([{stamp: 1_795_132_800, **row}]).encode())[0].time == 1_795_132_800_000
        with pytest.raises(msgspec.ValidationError):
            read(json.dumps([{stamp: 1_795_132_800_000, **row}]).encode())


def test_sizes_may_come_as_text_with_decimals() -> None:
    [row] = SOURCE.endpoint("instruments").read(json.dumps([contract(position_size="40177.8")]).encode())
    assert row.position_size == 40177.8


def test_instruments_are_the_linear_ones() -> None:
    page = [contract("BTC_USDT"), contract("1INCH_USDT"), contract("1000RATS_USDT"), contract("BTC_USD", type="inverse")]
    read = SOURCE.endpoint("instruments").read(json.dumps(page).encode())
    assert SOURCE.parse_instruments
    assert [(i.symbol, i.base_asset) for i in SOURCE.parse_instruments(read)] == [
        ("BTC_USDT", "BTC"),
        ("1INCH_USDT", "1INCH"),
        ("1000RATS_USDT", "RATS"),
    ]


# --- the emulator -----------------------------------------------------------------------------------------------------------


def ask(emulator: Served, path: str, **params: Any) -> tuple[int, Any]:
    answer = httpx.get(f"{emulator.url}/gate/api/v4/futures/usdt/{path}", params=params)
    return answer.status_code, answer.json()


def test_the_emulator_says_no_as_the_venue_does(emulator: Served) -> None:
    hours = {"contract": "BTC_USDT", "interval": "1h"}
    now = NOW // 1000
    refused = {
        "limit conflicts": ask(emulator, "candlesticks", **hours, **{"from": now - HOUR_S, "limit": 3}),
        "too many points": ask(emulator, "candlesticks", **hours, **{"from": now - 2001 * HOUR_S}),
        "rows of funding": ask(emulator, "funding_rate", contract="BTC_USDT", limit=1001),
        "rows of statistics": ask(emulator, "contract_stats", **hours, limit=101),
    }
    assert {(status, body["label"]) for status, body in refused.values()} == {(400, "INVALID_PARAM_VALUE")}
    assert ask(emulator, "funding_rate", contract="1000PEPE_USDT") == (
        400,
        {"label": "CONTRACT_NOT_FOUND", "message": "Contract not found"},
    )
    assert ask(emulator, "nothing")[0] == 404


def test_the_order_and_the_number_of_rows(emulator: Served) -> None:
    _, rates = ask(emulator, "funding_rate", contract="PEPE_USDT")
    assert [row["t"] for row in rates] == [NOW // 1000 - n * 4 * HOUR_S for n in range(100)]
    _, held = ask(emulator, "contract_stats", contract="BTC_USDT", interval="1h", **{"from": NOW // 1000 - 9 * HOUR_S}, limit=4)
    assert [row["time"] for row in held] == [NOW // 1000 - n * HOUR_S for n in (9, 8, 7, 6)]
    _, bars = ask(emulator, "candlesticks", contract="mark_BTC_USDT", interval="1h", limit=2)
    assert [row["t"] for row in bars] == [NOW // 1000 - 2 * HOUR_S, NOW // 1000 - HOUR_S]
    assert "v" not in bars[0] and "sum" not in bars[0]


def test_ccxt_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    """Contracts and their size, rates, bars, mark and index bars, open interest: the store's numbers."""
    options = {"options": {"fetchMarkets": {"types": ["swap"]}}, "has": {"fetchCurrencies": False}}
    gate = through_ccxt("gate", emulator, "https://api.gateio.ws", "/gate", **options)
    assert len(gate.markets) == 8
    since = NOW - 3 * DAY
    for coin in ("BTC", "PEPE"):
        market = gate.market(f"{coin}/USDT:USDT")
        assert (market["id"], market["linear"], market["contractSize"]) == (f"{coin}_USDT", True, COINS[coin])
        rates = gate.fetch_funding_rate_history(market["symbol"], since, 100)
        funding = store.funding("gate", coin)
        assert [(r["timestamp"], r["fundingRate"]) for r in rates] == [row[:2] for row in seen(funding, Window(since, NOW + 1))]
        assert len(rates) == {"BTC": 10, "PEPE": 19}[coin]
        trades = list(seen(store.candles("gate", coin, "trade"), Window(since, NOW)))
        assert [tuple(bar) for bar in gate.fetch_ohlcv(market["symbol"], "1h", since, 200)] == [
            (*row[:5], round(row[5] / COINS[coin])) for row in trades
        ]
        for kind in ("mark", "index"):
            bars = gate.fetch_ohlcv(market["symbol"], "1h", since, 200, {"price": kind})
            prices = seen(store.candles("gate", coin, kind), Window(since, NOW))  # type: ignore[arg-type]
            assert [tuple(bar[:5]) for bar in bars] == [row[:5] for row in prices]
        history = gate.fetch_open_interest_history(market["symbol"], "1h", since, 100)
        held = list(seen(store.open_interest("gate", coin), Window(since, NOW + 1)))
        assert [(h["timestamp"], h["openInterestAmount"], h["openInterestValue"]) for h in history] == [
            (at, round(size / COINS[coin]), size * mark) for at, size, mark in held
        ]
        now = gate.fetch_funding_rates([market["symbol"]])[market["symbol"]]
        assert now["fundingRate"] == store.running_rate("gate", coin, NOW)
        assert now["fundingTimestamp"] == NOW + {"BTC": 8, "PEPE": 4}[coin] * MS_HOUR
        assert now["interval"] == {"BTC": "8h", "PEPE": "4h"}[coin]


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = loaded("gate", emulator, tmp_path)
    for coin in ("BTC", "PEPE"):
        where = f"where symbol = '{coin}_USDT' order by time"
        assert query(f"select time, rate from raw.gate__funding_rates {where}") == [
            row[:2] for row in seen(store.funding("gate", coin))
        ]
        held = list(seen(store.open_interest("gate", coin)))
        assert query(f"select time, open_interest, open_interest_usd, mark_price from raw.gate__open_interest {where}") == [
            (at, round(size / COINS[coin]), size * mark, mark) for at, size, mark in held
        ]
        bars = list(seen(store.candles("gate", coin, "trade")))
        assert len(bars) == len(held) == 48
        assert query(f"select time, open, high, low, close, volume, turnover from raw.gate__candles {where}") == [
            (*row[:5], round(row[5] / COINS[coin]), row[6]) for row in bars
        ]
        for kind in ("mark", "index"):
            assert query(f"select time, open, high, low, close from raw.gate__{kind}_candles {where}") == [
                row[:5]
                for row in seen(store.candles("gate", coin, kind))  # type: ignore[arg-type]
            ]
    assert query("select count(*), min(create_time) from raw.gate__instruments") == [(8, 1_735_689_600)]
    [(size, rate)] = query("select position_size, funding_rate from raw.gate__instruments where name = 'BTC_USDT'")
    *_, last = seen(store.open_interest("gate", "BTC"), Window(NOW - DAY, NOW + 1))
    assert (size, rate) == (round(last[1] / 0.0001), store.running_rate("gate", "BTC", NOW))


def test_the_same_rates_of_two_instruments_are_no_mistake(emulator: Served, tmp_path: Path) -> None:
    """All eight over the ten days: where two have the default throughout, their pages are the same bytes."""
    window = Window(NOW - 10 * DAY, NOW)
    _, result = fetched("gate", emulator, tmp_path, window, assets=["all"])
    assert not result.failures and not result.quarantined
    pages = [e for e in result.entries if e.dataset == "funding_rates"]
    assert len(pages) == 8 * 3 > len({e.sha256 for e in pages})
