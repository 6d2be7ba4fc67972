"""HTX coin-margined swaps: their units alone, for all else they are the linear swaps (`test_htx_linear.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.windows import Window
from tests.sources.kit import NOW, WINDOW, load_and_query, store_rows


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
