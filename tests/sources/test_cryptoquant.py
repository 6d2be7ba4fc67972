"""CryptoQuant's traps: bitcoin and ether alone, days as text, fields that differ by endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.emulator.testing import Served
from pipelines.source import Instrument
from pipelines.sources.cryptoquant import SOURCE
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query


def test_other_assets_are_not_requested() -> None:
    assert all(not list(endpoint.plan(Instrument("DOGE", "DOGE"), WINDOW)) for endpoint in SOURCE.endpoints)


@pytest.mark.parametrize("change", [{}, {"short_liquidations_usd": None}])
def test_a_row_without_the_endpoints_field_is_refused(change: dict[str, None]) -> None:
    endpoint = SOURCE.endpoint("liquidations")
    row = {"date": "2025-10-10", "long_liquidations_usd": 5e5, **change}
    with pytest.raises(ValueError, match="short_liquidations_usd"):
        endpoint.read(json.dumps({"result": {"data": [row]}}).encode())


def test_the_raw_table_has_the_two_assets(emulator: Served, tmp_path: Path) -> None:
    query = load_and_query("cryptoquant", emulator, tmp_path, assets=["BTC", "ETH", "PEPE"])
    assert query("select symbol, day from raw.cryptoquant__open_interest order by 1, 2") == [
        (asset, NOW - n * DAY) for asset in ("BTC", "ETH") for n in (2, 1)
    ]
