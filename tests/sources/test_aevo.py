"""Aevo's traps: times in nanoseconds, inactive instruments and options in the list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.sources.aevo import SOURCE, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, ask, load_and_query, store_rows


@pytest.mark.parametrize("stamp", ["1695715200000", "1695715200"])
def test_milliseconds_and_seconds_are_refused(stamp: str) -> None:
    with pytest.raises(ValueError, match=">="):
        SOURCE.endpoint("funding_rates").read(json.dumps({"funding_history": [["ETH-PERP", stamp, "0.1", "1"]]}).encode())


def test_instruments_are_active_perpetuals() -> None:
    market = {"quote_asset": "USDC", "instrument_type": "PERPETUAL", "is_active": True}
    rows = [
        {"instrument_name": "ETH-PERP", "underlying_asset": "ETH", **market},
        {"instrument_name": "1000PEPE-PERP", "underlying_asset": "1000PEPE", **market},
        {"instrument_name": "OLD-PERP", "underlying_asset": "OLD", **market, "is_active": False},
        {"instrument_name": "ETH-30JUN23-1600-C", "underlying_asset": "ETH", **market, "instrument_type": "OPTION"},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps(rows).encode())
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("ETH-PERP", "ETH"), ("1000PEPE-PERP", "PEPE")]


def test_the_emulator_lists_no_options(emulator: Served) -> None:
    assert ask(emulator, "aevo", "/markets?instrument_type=OPTION").json() == []


@pytest.mark.parametrize("coin", ["BTC", "1000PEPE"])
def test_the_raw_tables_have_the_values_of_the_store(coin: str, emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    """Without bars Aevo is in no other comparison with the store."""
    query, name = load_and_query("aevo", emulator, tmp_path), f"'{coin}-PERP'"
    rates = query(f"select settled_at, funding_rate from raw.aevo__funding_rates where instrument_name = {name} order by 1")
    assert rates == [row[:2] for row in store_rows(store.funding("aevo", coin))] and len(rates) == 48
    *_, (_, size, _) = store_rows(store.open_interest("aevo", coin), Window(NOW - DAY, NOW + 1))
    assert query(f"select open_interest from raw.aevo__statistics where symbol = {name}") == [(size,)]
    running = query(f"select funding_rate, next_epoch from raw.aevo__running_rates where symbol = {name}")
    assert running == [(store.running_rate("aevo", coin, NOW), NOW + MS_HOUR)]
