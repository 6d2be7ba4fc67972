"""Coinbase's traps: perpetuals listed as futures that expire, numbers at two levels, a dated future in the list."""

from __future__ import annotations

import pytest

from infra.emulator.testing import Served
from pipelines.sources.coinbase import SOURCE, instruments
from tests.sources.kit import ask
from tests.sources.samples import collect, decoded, recorded


@recorded
def test_instruments_are_the_products_with_a_funding_interval() -> None:
    [sample] = [s for s in collect()[0] if (s.source, s.endpoint) == ("coinbase", "instruments")]
    rows = decoded(sample)
    perpetuals = [row["product_id"] for row in rows if row["funding_interval"]]
    assert [i.symbol for i in instruments(SOURCE.endpoint("instruments").read(sample.body))] == perpetuals
    [bitcoin] = [row for row in rows if row["product_id"] == "BIP-20DEC30-CDE"]
    assert (bitcoin["funding_rate"], bitcoin["funding_time"]) == (0.000013, 1775520000000), "of the upper level"


@pytest.mark.parametrize(("query", "products"), [("?product_type=FUTURE", 4 + 2), ("", 0)])
def test_the_emulator_lists_what_is_no_perpetual_of_the_exchange(query: str, products: int, emulator: Served) -> None:
    listed = ask(emulator, "coinbase", "/api/v3/brokerage/market/products" + query).json()["products"]
    assert len(listed) == products
    assert [x["future_product_details"]["funding_interval"] for x in listed[4:]] == [None, None][: products - 4]
