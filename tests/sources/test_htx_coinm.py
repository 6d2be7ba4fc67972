"""HTX coin-margined swaps: what is told of them stands beside the linear ones' (`test_htx_linear.py`); here their units alone."""

from __future__ import annotations

from pathlib import Path

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.htx import DOLLARS
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, load_and_query, store_rows


def test_a_contract_is_dollars_and_the_look_at_now_counts_one_side(
    emulator: Served, store: SyntheticMarket, tmp_path: Path
) -> None:
    query = load_and_query("htx_coinm", emulator, tmp_path, assets=["BTC", "DOGE"])
    for coin in ("BTC", "DOGE"):
        face = DOLLARS.get(coin, 10.0)
        assert query(f"select contract_size from raw.htx_coinm__instruments where symbol = '{coin}'") == [(face,)]
        *_, (_, size, mark) = store_rows(store.open_interest("htx_coinm", coin), Window(NOW - DAY, NOW + 1))
        asked = f"select volume, value from raw.htx_coinm__open_interest_now where contract_code = '{coin}-USD'"
        assert query(asked) == [(round(size * mark / face), None)]
