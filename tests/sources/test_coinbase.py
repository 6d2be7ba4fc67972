"""Coinbase Advanced, by what the venue's page says: perpetuals listed as futures that expire, contracts, text, seconds."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.coinbase import CONTRACTS, product_id
from pipelines.source import Instrument, VenueProblem
from pipelines.sources.coinbase import SOURCE, error, instruments
from pipelines.windows import Window
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    decoded,
    exact,
    load_and_query,
    planned_requests,
    store_rows,
    through_ccxt,
    wire_samples,
)
from tests.sources.samples import WIRE

ROOT = "https://api.coinbase.com/api/v3/brokerage/market/products"
BIP = "BIP-20DEC30-CDE"


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21: both ends of a window of bars are sent, in seconds, inclusive; the list alone is asked once."""
    assert planned_requests("coinbase", BIP, WINDOW) == {
        "instruments": [f"GET {ROOT}?product_type=FUTURE"],
        "candles": [f"GET {ROOT}/{BIP}/candles?granularity=ONE_HOUR&start=1795132800&end=1795305599&limit=300"],
    }
    requests = list(SOURCE.endpoint("candles").plan(Instrument(BIP, "BTC"), Window(NOW - 365 * DAY, NOW)))
    starts = [int(request.params["start"]) for request in requests] + [NOW // 1000]
    assert max(b - a for a, b in pairwise(starts)) <= 300 * 3600, "fewer than the 350 that may come"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"error": "RESOURCE_EXHAUSTED"}, VenueProblem("limited", "RESOURCE_EXHAUSTED")),
        (400, {"error": "INVALID_ARGUMENT", "message": "start"}, VenueProblem("rejected", "INVALID_ARGUMENT start")),
        (500, {"error": "INTERNAL", "message": ""}, VenueProblem("transient", "INTERNAL")),
        (200, {"products": []}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(status, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------

FUTURES = {"coinbase/http_products_future.json": "instruments", "coinbase/http_candles.json": "candles"}
#: The other sample of the list is of spot products, which have no details of a future: we ask for futures.
SAMPLES = wire_samples(
    {f"{ROOT.removeprefix('https://api.coinbase.com')}/*/candles": "candles"},
    ["api.coinbase.com"],
    examples="coinbase",
    nautilus=FUTURES,
)
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")


@recorded
def test_all_samples_are_here() -> None:
    assert sorted(s.dataset for s in SAMPLES) == ["candles", "candles", "instruments"]


@recorded
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(sample: Sample) -> None:
    wire, rows = exact(sample), decoded("coinbase", sample)
    if sample.dataset == "candles":
        assert [[str(int(row["time"]) // 1000), row["open"], row["volume"]] for row in rows] == [
            [str(bar["start"]), float(bar["open"]), float(bar["volume"])] for bar in wire["candles"]
        ]
        return
    for row, product in zip(rows, wire["products"], strict=True):
        details = product["future_product_details"]
        assert (row["product_id"], row["contract_root_unit"]) == (product["product_id"], details["contract_root_unit"])
        for name in ("contract_size", "open_interest", "funding_rate", "index_price"):
            assert row[name] == (float(details[name]) if details[name] else None)
        assert row["funding_interval"] == details["funding_interval"]
    assert [i.symbol for i in instruments(SOURCE.endpoint("instruments").read(sample.body))] == [
        row["product_id"] for row in rows if row["funding_interval"]
    ]
    bitcoin = next(row for row in rows if row["product_id"] == BIP)
    assert (bitcoin["funding_rate"], bitcoin["funding_time"]) == (0.000013, 1775520000000), "of the upper level"


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_the_emulator_keeps_the_venues_limits(emulator: Served) -> None:
    def ask(path: str = "", **params: Any) -> httpx.Response:
        return httpx.get(f"{emulator.url}/coinbase/api/v3/brokerage/market/products{path}", params=params)

    listed = ask(product_type="FUTURE").json()["products"]
    assert len(listed) == len(CONTRACTS) + 1 and ask().json()["products"] == []
    hours = {"start": NOW // 1000 - 10 * 3600, "end": NOW // 1000, "granularity": "ONE_HOUR"}
    bars = [int(bar["start"]) * 1000 for bar in ask(f"/{BIP}/candles", **hours).json()["candles"]]
    assert bars == list(range(NOW - MS_HOUR, NOW - 11 * MS_HOUR, -MS_HOUR)), "newest first, none that is not over"
    long = hours | {"start": NOW // 1000 - 350 * 3600}
    for refused in (ask(f"/{BIP}/candles", **long), ask("/NO-20DEC30-CDE/candles", **hours), ask("/x")):
        assert refused.status_code >= 400 and refused.json()["error"]


def test_ccxt_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    coinbase = through_ccxt(
        "coinbase", emulator, "https://api.coinbase.com", "/coinbase", fetch_currencies=lambda params={}: {},
        options={"fetchMarkets": {"usePrivate": False}},
    )  # fmt: skip
    since = NOW - 3 * DAY
    for coin in ("BTC", "ETH"):
        market = coinbase.markets_by_id[product_id(coin)][0]
        assert market["contract"] and market["contractSize"] == CONTRACTS[coin][1]
        bars = coinbase.fetch_ohlcv(market["symbol"], "1h", since, 72)
        trades = list(store_rows(store.candles("coinbase", coin, "trade"), Window(since, NOW)))
        assert [bar[:5] for bar in bars] == [list(row[:5]) for row in trades] and len(trades) == 72


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("coinbase", emulator, tmp_path, assets=["BTC", "XRP"])
    for coin in ("BTC", "XRP"):
        bars = list(store_rows(store.candles("coinbase", coin, "trade")))
        where = f"where symbol = '{product_id(coin)}' order by 1"
        assert query(f'select "time", open, high, low, close from raw.coinbase__candles {where}') == [row[:5] for row in bars]
        [(rate, lots)] = query(
            f"select funding_rate, open_interest from raw.coinbase__instruments where product_id = '{product_id(coin)}'"
        )
        *_, held = store_rows(store.open_interest("coinbase", coin), Window(NOW - DAY, NOW + 1))
        assert rate == store.running_rate("coinbase", coin, NOW)
        assert lots * CONTRACTS[coin][1] == pytest.approx(held[1], abs=CONTRACTS[coin][1] / 2)
