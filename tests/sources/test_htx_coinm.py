"""HTX coin-margined swaps: their units, numbered pages of funding, ids that continue a page of liquidations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.source import Instrument, Request
from pipelines.sources.htx_coinm import SOURCE
from pipelines.windows import Window
from tests.sources.kit import NOW, WINDOW, load_and_query, next_request, store_rows


@pytest.mark.parametrize(("coin", "face"), [("BTC", 100.0), ("DOGE", 10.0)])
def test_a_contract_is_dollars_and_the_present_open_interest_counts_one_side(
    coin: str, face: float, emulator: Served, store: SyntheticMarket, tmp_path: Path
) -> None:
    """The history counts both sides."""
    query = load_and_query("htx_coinm", emulator, tmp_path, assets=[coin])
    named = f"where contract_code = '{coin}-USD'"
    assert query(f"select contract_size from raw.htx_coinm__instruments {named}") == [(face,)]
    stored = list(store_rows(store.open_interest("htx_coinm", coin), Window(WINDOW.start, NOW + 1)))
    _, size, mark = stored[-1]
    assert query(f"select volume, value from raw.htx_coinm__open_interest_now {named}") == [(round(size * mark / face), None)]
    history = query("select ts, volume from raw.htx_coinm__open_interest order by 1")
    assert history == [(at, pytest.approx(2 * size * mark / face, abs=0.5)) for at, size, mark in stored if at < NOW]


def test_funding_is_paged_until_a_row_lies_before_the_window() -> None:
    def settled(*hours_ago: int) -> dict[str, Any]:
        row = {"contract_code": "B", "funding_rate": "0.0001", "realized_rate": "null"}
        rows = [row | {"funding_time": str(NOW - h * MS_HOUR)} for h in hours_ago]
        return {"status": "ok", "data": {"total_page": 9, "data": rows}, "ts": NOW}

    request = Request("/", {"page_size": 3, "page_index": 2}, window=WINDOW, clip_start=True, clip_end=True)
    after = next_request("htx_coinm", "funding_rates", request, settled(32, 40, 48))
    assert after and after.params["page_index"] == 3
    assert next_request("htx_coinm", "funding_rates", request, settled(40, 48, 56)) is None, "the last is before the window"
    assert next_request("htx_coinm", "funding_rates", request, settled(40, 48)), "a short page may have been cut"


def test_liquidations_continue_after_the_last_id_until_a_page_is_empty() -> None:
    request = next(iter(SOURCE.endpoint("liquidations").plan(Instrument("BTC-USD", "BTC"), WINDOW)))
    row = {"query_id": 7, "contract_code": "BTC-USD", "direction": "buy", "volume": 1, "price": 1, "amount": 1}
    page = {"code": 200, "data": [row | {"created_at": WINDOW.start}]}
    after = next_request("htx_coinm", "liquidations", request, page)
    assert after and after.params == {**request.params, "from_id": 7}
    assert next_request("htx_coinm", "liquidations", request, {"code": 200, "data": []}) is None
