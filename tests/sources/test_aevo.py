"""Aevo, by what the venue's page says: nanoseconds as text, arrays of fifty, newest first. No client library speaks with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.source import Instrument, VenueProblem
from pipelines.sources.aevo import SOURCE, error, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query, planned_requests, store_rows

ROOT = "https://api.aevo.xyz"


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21 in nanoseconds: pages end on multiples of fifty hours."""
    found = planned_requests("aevo", "ETH-PERP", WINDOW)
    history = found.pop("funding_rates")
    assert found == {
        "instruments": [f"GET {ROOT}/markets?instrument_type=PERPETUAL"],
        "running_rates": [f"GET {ROOT}/funding?instrument_name=ETH-PERP"],
        "statistics": [f"GET {ROOT}/statistics?asset=ETH&instrument_type=PERPETUAL"],
    }
    ask = f"GET {ROOT}/funding-history?instrument_name=ETH-PERP&start_time="
    assert history[0].startswith(f"{ask}1795132800000000000&end_time=1795") and history[0].endswith("999999&limit=50")
    assert history[-1].endswith("&end_time=1795305599999999999&limit=50")
    hours = [r.window for r in SOURCE.endpoint("funding_rates").plan(Instrument("ETH-PERP", "ETH"), Window(NOW - 90 * DAY, NOW))]
    assert max(w.end - w.start for w in hours if w) == 50 * MS_HOUR


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"error": "RATE_LIMIT_EXCEEDED"}, VenueProblem("limited", "RATE_LIMIT_EXCEEDED")),
        (404, {"error": "INSTRUMENT_NOT_FOUND"}, VenueProblem("rejected", "INSTRUMENT_NOT_FOUND")),
        (500, {"error": "INTERNAL"}, VenueProblem("transient", "INTERNAL")),
        (200, {"funding_history": []}, None),
        (200, [], None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says


def test_a_row_is_an_array_with_nanoseconds_as_text() -> None:
    of = SOURCE.endpoint("funding_rates")
    body = {"funding_history": [["ETH-PERP", "1695715200000000000", "0.00001", "1600.5"]]}
    [row] = of.rows(of.read(json.dumps(body).encode()))
    assert (row.instrument_name, row.settled_at, row.funding_rate, row.mark_price) == ("ETH-PERP", 1695715200000, 0.00001, 1600.5)
    for wrong in ("1695715200000", "1695715200"):
        with pytest.raises(ValueError, match=">="):
            of.read(json.dumps({"funding_history": [["ETH-PERP", wrong, "0.1", "1"]]}).encode())


def test_perpetuals_that_trade() -> None:
    market = {"quote_asset": "USDC", "instrument_type": "PERPETUAL", "is_active": True}
    rows = [
        {"instrument_name": "ETH-PERP", "underlying_asset": "ETH", **market},
        {"instrument_name": "1000PEPE-PERP", "underlying_asset": "1000PEPE", **market},
        {"instrument_name": "OLD-PERP", "underlying_asset": "OLD", **market, "is_active": False},
        {"instrument_name": "ETH-30JUN23-1600-C", "underlying_asset": "ETH", **market, "instrument_type": "OPTION"},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps(rows).encode())
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("ETH-PERP", "ETH"), ("1000PEPE-PERP", "PEPE")]


def test_the_emulator_keeps_the_venues_limits(emulator: Served) -> None:
    def ask(path: str, **params: Any) -> httpx.Response:
        return httpx.get(f"{emulator.url}/aevo{path}", params=params)

    rows = ask("/funding-history", instrument_name="BTC-PERP").json()["funding_history"]
    times = [int(row[1]) for row in rows]
    assert len(rows) == 50 and times == sorted(times, reverse=True) and times[0] > 10**18
    assert ask("/markets", instrument_type="OPTION").json() == []
    for refused in (
        ask("/funding-history", instrument_name="BTC-PERP", limit=51),
        ask("/funding", instrument_name="NO-PERP"),
        ask("/x"),
    ):
        assert refused.status_code >= 400 and refused.json()["error"]


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("aevo", emulator, tmp_path)
    for coin in ("BTC", "1000PEPE"):
        asked = f"select settled_at, funding_rate from raw.aevo__funding_rates where instrument_name = '{coin}-PERP' order by 1"
        rows = query(asked)
        assert rows == [row[:2] for row in store_rows(store.funding("aevo", coin))] and len(rows) == 48
        *_, held = store_rows(store.open_interest("aevo", coin), Window(NOW - DAY, NOW + 1))
        assert query(f"select open_interest from raw.aevo__statistics where symbol = '{coin}-PERP'") == [(held[1],)]
        assert query(f"select funding_rate, next_epoch from raw.aevo__running_rates where symbol = '{coin}-PERP'") == [
            (store.running_rate("aevo", coin, NOW), NOW + MS_HOUR)
        ]
