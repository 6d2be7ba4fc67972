"""Bybit's traps: two categories with one limit, cursors, both sides of open interest, dollars where linear counts coins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.clock import Clock
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, ask, next_request, store_rows
from tests.sources.samples import collect, decoded, recorded

#: Category, its market in the store, and the quote that ends its symbols.
CATEGORIES = [("linear", "bybit", "USDT"), ("inverse", "bybit_inverse", "USD")]


def contract(symbol: str, kind: str = "InversePerpetual", quote: str = "USD") -> dict[str, object]:
    known = {"symbol": symbol, "contractType": kind, "status": "Trading", "baseCoin": "BTC", "quoteCoin": quote}
    return {**known, "settleCoin": "BTC", "fundingInterval": 480}


def page(*rows: object, cursor: str | None = "") -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": cursor}}


def result(emulator: Served, path: str) -> Any:
    return ask(emulator, "bybit_linear", f"/v5/market/{path}").json()["result"]


@pytest.mark.parametrize("category", ["linear", "inverse"])
def test_the_list_goes_on_by_cursor(category: str) -> None:
    name = f"bybit_{category}"
    [first] = get_source(name).endpoint("instruments").plan(Instrument("", ""), WINDOW)
    second = next_request(name, "instruments", first, page(contract("BTCUSD"), cursor="first%3DA%26last%3DB"))
    assert second and second.params == {"category": category, "limit": 1000, "cursor": "first%3DA%26last%3DB"}
    assert next_request(name, "instruments", first, page(contract("BTCUSD"))) is None
    assert next_request(name, "instruments", first, page(contract("BTCUSD"), cursor=None)) is None


@pytest.mark.parametrize(("name", "expected"), [("bybit_linear", ["BTCUSDT", "BTCPERP"]), ("bybit_inverse", ["BTCUSD"])])
def test_the_perpetuals_of_a_list(name: str, expected: list[str]) -> None:
    rows = [
        contract("BTCUSD"), contract("BTCUSDZ25", "InverseFutures"), contract("XUSDT", quote="USDT"),
        contract("BTCUSDT", "LinearPerpetual", "USDT"), contract("BTCPERP", "LinearPerpetual", "USDC"),
        contract("BTCUSDT-26DEC25", "LinearFutures", "USDT"),
    ]  # fmt: skip
    source = get_source(name)
    body = source.endpoint("instruments").read(json.dumps(page(*rows)).encode())
    assert source.parse_instruments
    assert source.parse_instruments(body) == [Instrument(symbol, "BTC") for symbol in expected]


@recorded
def test_documented_inverse_volume_is_dollars_and_turnover_coins() -> None:
    [sample] = [s for s in collect()[0] if (s.source, s.endpoint) == ("bybit_inverse", "candles")]
    rows = decoded(sample)
    assert len(rows) == 3 and all(row["low"] <= row["volume"] / row["turnover"] <= row["high"] for row in rows)


def test_linear_and_inverse_spend_from_one_limit(tmp_path: Path) -> None:
    """The venue counts 600 requests in 5 seconds over the whole host: what one source spent the other can't."""
    emulator = EmulatorInfo("http://127.0.0.1:9", "synthetic; seed=7")
    run = Run.begin(Settings(home=tmp_path, limits_scale=1), WINDOW, Clock(NOW), emulator)
    linear, inverse, other = (run.client(get_source(n)).limiter for n in ("bybit_linear", "bybit_inverse", "kraken_futures"))

    async def spend() -> None:
        await linear.acquire({"requests": 582})  # 97 % of the limit
        await asyncio.wait_for(other.acquire({"requests": 1}), 0.5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inverse.acquire({"requests": 1}), 0.5)

    asyncio.run(spend())


# --- the emulator -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("category", "market", "quote"), CATEGORIES)
def test_a_category_is_a_market_of_its_own(
    category: str, market: str, quote: str, emulator: Served, store: SyntheticMarket
) -> None:
    symbols = {row["symbol"] for row in result(emulator, f"instruments-info?category={category}")["list"]}
    assert symbols == {x.listed + quote for x in store.listings(market)}
    assert len(symbols) == {"linear": 8, "inverse": 6}[category]
    assert result(emulator, "instruments-info?category=spot")["list"] == []


def test_instruments_page_by_cursor(emulator: Served) -> None:
    first = result(emulator, "instruments-info?category=linear&limit=5")
    second = result(emulator, f"instruments-info?category=linear&limit=5&cursor={first['nextPageCursor']}")
    assert (len(first["list"]), len(second["list"]), second["nextPageCursor"]) == (5, 3, "")
    assert {row["fundingInterval"] for row in first["list"] + second["list"]} <= {60, 120, 240, 480}
    assert result(emulator, "instruments-info?category=linear&status=PreLaunch")["list"] == []


@pytest.mark.parametrize(("category", "market", "quote"), CATEGORIES)
def test_open_interest_follows_its_cursor_and_counts_both_sides(
    category: str, market: str, quote: str, emulator: Served, store: SyntheticMarket
) -> None:
    path = f"open-interest?category={category}&symbol=SOL{quote}&intervalTime=1h&limit=200"
    window = f"&startTime={NOW - 30 * DAY}&endTime={NOW}"
    rows, cursor = [], ""
    while True:
        answer = result(emulator, f"{path}{window}&cursor={cursor}")
        rows += answer["list"]
        if not (cursor := answer["nextPageCursor"]):
            break
    ours = [(int(r["timestamp"]), float(r["openInterest"]), float(r["singleOpenInterest"])) for r in reversed(rows)]
    points = list(store_rows(store.open_interest(market, "SOL"), Window(NOW - 30 * DAY, NOW + 1)))
    if category == "linear":
        assert ours == [(at, 2 * size, size) for at, size, _ in points]
    else:
        assert ours == [(at, round(2 * size * mark), round(size * mark)) for at, size, mark in points]


def test_ccxt_reads_inverse_open_interest_as_dollars_of_both_sides(exchanges: Any, store: SyntheticMarket) -> None:
    history = exchanges("bybit_inverse").fetch_open_interest_history("BTC/USD:BTC", "1h", WINDOW.start - MS_HOUR // 2, 48)
    points = store_rows(store.open_interest("bybit_inverse", "BTC"))
    assert [(h["timestamp"], h["openInterestValue"]) for h in history] == [
        (at, round(2 * size * mark)) for at, size, mark in points
    ]
    assert len(history) == 48


@pytest.mark.parametrize(("category", "market", "quote"), CATEGORIES)
def test_tickers(category: str, market: str, quote: str, emulator: Served, store: SyntheticMarket) -> None:
    rows = {row["symbol"]: row for row in result(emulator, f"tickers?category={category}")["list"]}
    for listing in store.listings(market):
        row = rows[listing.listed + quote]
        [(_, size, mark)] = store_rows(store.open_interest(market, listing.listed), Window(NOW, NOW + MS_HOUR))
        both, single = float(row["openInterest"]), float(row["singleOpenInterest"])
        assert (both, single) == ((2 * size, size) if category == "linear" else (round(2 * size * mark), round(size * mark)))
        assert float(row["fundingRate"]) == store.running_rate(market, listing.listed, NOW)


def test_values_that_the_store_lacks_are_empty(bare: Served) -> None:
    instrument = "category=linear&symbol=TINYUSDT"
    assert result(bare, f"kline?{instrument}&interval=60")["list"][-1][1:] == ["", "", "", "0.00001208", "", ""]
    assert result(bare, f"open-interest?{instrument}&intervalTime=1h")["list"] == []
    assert result(bare, f"tickers?{instrument}")["list"][0]["singleOpenInterest"] == ""
