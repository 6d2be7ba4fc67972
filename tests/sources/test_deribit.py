"""Deribit as its page states it: what is asked, units of inverse and linear, errors, every sample, and ccxt on the emulator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.source import Instrument
from pipelines.windows import HOUR, Window
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    decoded,
    exact,
    fetch_from_emulator,
    get_source,
    load_and_query,
    planned_requests,
    store_rows,
    through_ccxt,
    wire_samples,
)

PUBLIC = "https://www.deribit.com/api/v2/public"
#: 1760054400000 = 2025-10-10T00:00Z; asked for from a millisecond before to a millisecond before the end.
TWO_DAYS = Window(1_760_054_400_000, 1_760_227_200_000)
SPAN = "instrument_name=BTC-PERPETUAL&start_timestamp=1760054399999&end_timestamp=1760227199999"
SYMBOLS = {"BTC": "BTC-PERPETUAL", "PEPE": "PEPE_USDC-PERPETUAL"}


def test_two_days_make_these_requests() -> None:
    assert planned_requests("deribit", "BTC-PERPETUAL", TWO_DAYS) == {
        "instruments": [f"GET {PUBLIC}/get_instruments?currency=any&kind=future"],
        "summaries": [
            f"GET {PUBLIC}/get_book_summary_by_currency?currency={currency}&kind=future"
            for currency in ("BTC", "ETH", "USDC", "USDT")
        ],
        "funding_rates": [f"GET {PUBLIC}/get_funding_rate_history?{SPAN}"],
        "candles": [f"GET {PUBLIC}/get_tradingview_chart_data?{SPAN}&resolution=60"],
    }


@pytest.mark.parametrize(("dataset", "rows"), [("funding_rates", 744), ("candles", 1000)])
def test_no_window_has_more_hours_than_a_page_has_rows(dataset: str, rows: int) -> None:
    plan = get_source("deribit").endpoint(dataset).plan
    windows = [r.window for r in plan(Instrument("BTC-PERPETUAL", "BTC"), Window(NOW - 200 * DAY, NOW)) if r.window]
    assert sum(w.end - w.start for w in windows) == 200 * DAY
    assert max(w.end - w.start for w in windows) == rows * HOUR


def test_errors_by_kind() -> None:
    def kind(status: int, body: bytes) -> str | None:
        said = get_source("deribit").error(status, body)
        return said.kind if said else None

    said = b'{"jsonrpc":"2.0","error":{"code":%d,"message":"%s"},"testnet":false,"usIn":1,"usOut":1,"usDiff":0}'
    assert kind(429, said % (10028, b"too_many_requests")) == kind(400, said % (10028, b"too_many_requests")) == "limited"
    assert kind(400, said % (-32602, b"Invalid params")) == kind(200, said % (-32602, b"Invalid params")) == "rejected"
    assert kind(500, said % (-32603, b"Internal error")) == kind(200, said % (-32603, b"Internal error")) == "transient"
    assert kind(503, said % (13028, b"temporarily_unavailable")) == "transient"
    assert kind(200, b'{"jsonrpc":"2.0","result":[]}') is kind(502, b"<html></html>") is None


def chart(**columns: Any) -> bytes:
    whole = {name: [1] for name in ("open", "high", "low", "close", "volume", "cost")} | {"ticks": [NOW], "status": "ok"}
    return json.dumps({"result": whole | columns}).encode()


def test_bars_whose_columns_differ_in_length_or_that_say_neither_ok_nor_no_data_are_refused() -> None:
    dataset = get_source("deribit").endpoint("candles")
    assert len(dataset.rows(dataset.read(chart()))) == 1
    with pytest.raises(ValueError, match="zip"):
        dataset.rows(dataset.read(chart(cost=[1, 2])))
    with pytest.raises(msgspec.ValidationError, match=r"result\.status"):
        dataset.read(chart(status="partial"))


def test_dated_futures_and_options_are_no_instruments_of_ours() -> None:
    symbol = {"kind": "future", "is_active": True, "base_currency": "BTC"}
    rows = [
        {**symbol, "instrument_name": "BTC-PERPETUAL", "settlement_period": "perpetual"},
        {**symbol, "instrument_name": "SOL_USDC-PERPETUAL", "settlement_period": "perpetual", "base_currency": "SOL"},
        {**symbol, "instrument_name": "BTC-27DEC24", "settlement_period": "month"},
        {**symbol, "instrument_name": "BTC-COMBO-1", "kind": "future_combo", "settlement_period": "perpetual"},
    ]
    page, of = (
        get_source("deribit").endpoint("instruments").read(json.dumps({"result": rows}).encode()),
        get_source("deribit").parse_instruments,
    )
    assert of and of(page) == [Instrument("BTC-PERPETUAL", "BTC"), Instrument("SOL_USDC-PERPETUAL", "SOL")]


def test_the_documented_hour_of_funding() -> None:
    prices = '"index_price":8222.87,"prev_index_price":8305.72'
    row = f'{{"timestamp":1569891600000,{prices},"interest_8h":-0.0000923,"interest_1h":-4.74e-7}}'
    assert decoded("deribit", Sample("", "funding_rates", 200, f'{{"result":[{row}]}}'.encode())) == [
        {"timestamp": 1_569_891_600_000, "interest_1h": -4.74e-7, "interest_8h": -9.23e-5, "index_price": 8222.87}
    ]


# --- samples ----------------------------------------------------------------------------------------------------------------

SAMPLES = wire_samples(
    {
        "/api/v2/public/get_instruments": "instruments",
        "/api/v2/public/get_book_summary_by_currency": "summaries",
        "/api/v2/public/get_book_summary_by_instrument": "summaries",  # the same rows, one at a time
        "/api/v2/public/get_funding_rate_history": "funding_rates",
        "/api/v2/public/get_tradingview_chart_data": "candles",
    },
    ["www.deribit.com"],
    nautilus={
        "deribit/http_get_instruments.json": "instruments",
        "deribit/http_get_tradingview_chart_data.json": "candles",
    },
)


@pytest.mark.skipif(not SAMPLES, reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_every_sample_decodes_to_the_values_that_it_holds() -> None:
    assert Counter(s.dataset for s in SAMPLES) == {"instruments": 8, "summaries": 4, "candles": 1}
    for sample in SAMPLES:
        rows = exact(sample)["result"]
        if sample.dataset == "candles":
            rows = [{name: rows[name][n] for name in rows if name != "status"} for n in range(len(rows["ticks"]))]
        found = decoded("deribit", sample)
        assert len(found) == len(rows) > 0
        for ours, theirs in zip(found, rows, strict=True):
            for name, value in ours.items():
                raw = theirs.get("ticks" if name == "tick" else name)
                assert value == (float(raw) if isinstance(raw, Decimal) else raw), (sample.file, name)


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_the_store_holds(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("deribit", emulator, tmp_path)
    assert {x for (x,) in query("select distinct symbol from raw.deribit__candles")} == set(SYMBOLS.values())
    for coin, symbol in SYMBOLS.items():
        rates = query(f"select timestamp, interest_1h from raw.deribit__funding_rates where symbol = '{symbol}' order by 1")
        assert rates == [row[:2] for row in store_rows(store.funding("deribit", coin))]
        assert len(rates) == 48 and all(at % HOUR == 0 for at, _ in rates)
        bars = query(
            f"select tick, open, high, low, close, volume, cost from raw.deribit__candles where symbol = '{symbol}' order by 1"
        )
        assert bars == [row[:7] for row in store_rows(store.candles("deribit", coin, "trade"))]


def test_eight_hours_are_the_sum_of_eight(emulator: Served, tmp_path: Path) -> None:
    query = load_and_query("deribit", emulator, tmp_path, assets=["BTC"])
    rows = query("select interest_1h, interest_8h from raw.deribit__funding_rates order by timestamp")
    assert rows[-1][1] == pytest.approx(sum(one for one, _ in rows[-8:]), rel=1e-12)


def test_funding_of_more_than_a_page_is_read_whole(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    window = Window(NOW - 90 * DAY, NOW)
    query = load_and_query("deribit", emulator, tmp_path, assets=["BTC"], window=window)
    assert query("select timestamp from raw.deribit__funding_rates order by 1") == [
        (at,) for at, *_ in store_rows(store.funding("deribit", "BTC"), window)
    ]


def get(emulator: Served, path: str) -> Any:
    with urlopen(emulator.url + "/deribit/api/v2/public/" + path) as answer:
        return json.load(answer)["result"]


def test_inverse_open_interest_is_in_dollars_by_contracts_linear_in_coins(emulator: Served, store: SyntheticMarket) -> None:
    def size(coin: str) -> float:
        return float(list(store_rows(store.open_interest("deribit", coin), Window(NOW - DAY, NOW + 1)))[-1][1])

    [btc] = get(emulator, "get_book_summary_by_currency?currency=BTC&kind=future")
    assert btc["open_interest"] % 10 == 0
    assert btc["open_interest"] == pytest.approx(size("BTC") * btc["mark_price"], abs=10)
    linear = {row["base_currency"]: row for row in get(emulator, "get_book_summary_by_currency?currency=USDC&kind=future")}
    assert linear["PEPE"]["open_interest"] == size("PEPE") and "ETH" not in linear
    rate = store.running_rate("deribit", "PEPE", NOW)
    assert rate is not None and linear["PEPE"]["current_funding"] == 8 * rate


def test_the_emulator_cuts_funding_at_744_hours_ascending(emulator: Served) -> None:
    asked = f"get_funding_rate_history?instrument_name=BTC-PERPETUAL&start_timestamp={NOW - 60 * DAY}&end_timestamp={NOW}"
    assert [row["timestamp"] for row in get(emulator, asked)] == [NOW - 60 * DAY + n * HOUR for n in range(744)]


@pytest.mark.parametrize(
    "path",
    [
        "get_instruments?currency=XYZ",
        "get_funding_rate_history?instrument_name=BTC-PERPETUAL",
        "get_funding_rate_history?instrument_name=NO-PERPETUAL&start_timestamp=1&end_timestamp=2",
        "get_tradingview_chart_data?instrument_name=BTC-PERPETUAL&start_timestamp=1&end_timestamp=2&resolution=1h",
        "get_nothing",
    ],
)
def test_the_emulator_refuses_as_the_venue(emulator: Served, path: str) -> None:
    with pytest.raises(OSError, match="400") as refused:
        get(emulator, path)
    said = get_source("deribit").error(400, refused.value.read())  # type: ignore[attr-defined]
    assert said and said.kind == "rejected"


def test_the_list_of_instruments_has_a_limit_of_its_own(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=5) as emulator:
        for _ in range(12):
            get(emulator, "get_book_summary_by_currency?currency=BTC&kind=future")
        with pytest.raises(OSError, match="429") as refused:
            for _ in range(12):
                get(emulator, "get_instruments?currency=any&kind=future")
    said = get_source("deribit").error(429, refused.value.read())  # type: ignore[attr-defined]
    assert said and said.kind == "limited"


def test_an_error_in_an_answer_of_200_is_asked_again(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("error_200", venue="deribit", path_contains="get_funding_rate_history")
    _, result = fetch_from_emulator("deribit", emulator, tmp_path, assets=["BTC"])
    assert not result.failures and not result.quarantined


# --- an independent client --------------------------------------------------------------------------------------------------


@pytest.fixture
def exchange(emulator: Served) -> Iterator[Any]:
    pytest.importorskip("ccxt")
    yield through_ccxt("deribit", emulator, "https://www.deribit.com", "/deribit")


def test_ccxt_reads_the_instruments(exchange: Any, store: SyntheticMarket) -> None:
    markets = {m["id"]: m for m in exchange.markets.values()}
    assert len(markets) == len(store.listings("deribit")) and all(m["swap"] and m["active"] for m in markets.values())
    btc, pepe = markets["BTC-PERPETUAL"], markets["PEPE_USDC-PERPETUAL"]
    assert (btc["inverse"], btc["linear"], btc["settle"], btc["contractSize"]) == (True, False, "BTC", 10)
    assert (pepe["inverse"], pepe["linear"], pepe["settle"], pepe["contractSize"]) == (False, True, "USDC", 0.01)
    assert {m["id"]: m["created"] for m in markets.values() if m["base"] == "BTC"} == {
        "BTC-PERPETUAL": next(x.listed_at for x in store.listings("deribit") if x.listed == "BTC")
    }


@pytest.mark.parametrize("coin", ["BTC", "PEPE"])
def test_ccxt_reads_the_funding_history(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    symbol = exchange.markets_by_id[SYMBOLS[coin]][0]["symbol"]
    rows = exchange.fetch_funding_rate_history(symbol, WINDOW.start, 1000, {"until": NOW - 1})
    # It calls the sum of eight hours the rate; the hour's own stands in what it was told.
    assert [(r["timestamp"], float(r["info"]["interest_1h"])) for r in rows] == [
        row[:2] for row in store_rows(store.funding("deribit", coin))
    ]


@pytest.mark.parametrize("coin", ["BTC", "PEPE"])
def test_ccxt_reads_the_candles(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    symbol = exchange.markets_by_id[SYMBOLS[coin]][0]["symbol"]
    rows = exchange.fetch_ohlcv(symbol, "1h", WINDOW.start, 1000, {"until": NOW})
    assert [tuple(row) for row in rows] == [row[:6] for row in store_rows(store.candles("deribit", coin, "trade"))]
    assert rows[-1][0] == NOW - MS_HOUR


def test_ccxt_reads_the_open_interest(exchange: Any, store: SyntheticMarket) -> None:
    symbol = exchange.markets_by_id[SYMBOLS["PEPE"]][0]["symbol"]
    held = list(store_rows(store.open_interest("deribit", "PEPE"), Window(NOW - DAY, NOW + 1)))[-1][1]
    assert float(exchange.fetch_open_interest(symbol)["info"]["open_interest"]) == held
