"""Binance COIN-M's traps: which contracts are perpetual, dollars and coins in its columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.sources.binance_coinm import SOURCE
from tests.sources.samples import collect, decoded, recorded


def contract(symbol: str, kind: str, pair: str = "", quote: str = "USD") -> dict[str, Any]:
    pair = pair or symbol.partition("_")[0]
    known = {"symbol": symbol, "pair": pair, "contractType": kind, "contractStatus": "TRADING", "contractSize": 10}
    return known | {"baseAsset": pair.removesuffix("USD"), "quoteAsset": quote, "marginAsset": pair.removesuffix("USD")}


def test_the_perpetuals_of_a_list() -> None:
    rows = [
        contract("BTCUSD_PERP", "PERPETUAL"), contract("BTCUSD_251226", "CURRENT_QUARTER"), contract("BTCUSD_260327", ""),
        contract("GALAUSD_PERP", "PERPETUAL DELIVERING"), contract("ODDUSD_PERP", "PERPETUAL", pair="EVENUSD"),
        contract("XUSDC_PERP", "PERPETUAL", quote="USDC"),
    ]  # fmt: skip
    page = SOURCE.endpoint("instruments").read(json.dumps({"symbols": rows}).encode())
    assert SOURCE.parse_instruments
    assert [(i.symbol, i.base_asset) for i in SOURCE.parse_instruments(page)] == [
        ("BTCUSD_PERP", "BTC"),
        ("GALAUSD_PERP", "GALA"),
    ]


@recorded
def test_recorded_contracts_are_dollars_and_the_columns_beside_them_coins() -> None:
    """Contracts times their size over the coins beside is a price within the bar: so both units are what the page says."""
    checked = 0
    for sample in [sample for sample in collect()[0] if sample.source == "binance_coinm"]:
        for row in decoded(sample) if sample.endpoint == "candles" else []:
            size = 100 if row["close"] > 9000 else 10
            assert row["low"] <= row["volume"] * size / row["base_volume"] <= row["high"]
            checked += 1
        if sample.endpoint == "open_interest" and "recorded" in sample.file:
            for row in decoded(sample):
                assert row["sum_open_interest"] * 100 / row["sum_open_interest_value"] == pytest.approx(11_500, rel=0.02)
    assert checked > 15
