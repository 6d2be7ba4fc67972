"""The venue's own SDK reads the emulator, and its numbers are the store's."""

from __future__ import annotations

from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from tests.infra.emulator.conftest import NOW, SINCE, seen

sdk = pytest.importorskip("hyperliquid.info")


@pytest.fixture(scope="module")
def info(emulator: Served) -> Any:
    return sdk.Info(emulator.url + "/hyperliquid", skip_ws=True)


def test_meta_and_contexts(info: Any, store: SyntheticMarket) -> None:
    coins = [x.listed for x in store.listings("hyperliquid")]
    assert [c["name"] for c in info.meta()["universe"]] == coins
    _, contexts = info.meta_and_asset_ctxs()
    held = [seen(store.open_interest("hyperliquid", coin), NOW)["size"][-1] for coin in coins]
    assert [float(c["openInterest"]) for c in contexts] == held
    assert set(info.all_mids()) == set(coins)


def test_funding_history(info: Any, store: SyntheticMarket) -> None:
    rows: list[dict[str, Any]] = []
    while page := info.funding_history("kPEPE", rows[-1]["time"] + 1 if rows else SINCE, NOW):
        rows += page
    held = seen(store.funding("hyperliquid", "kPEPE"), NOW)
    assert [r["time"] for r in rows] == held["settled_at"].tolist()
    assert [float(r["fundingRate"]) for r in rows] == held["rate"].tolist()


def test_candles(info: Any, store: SyntheticMarket) -> None:
    rows = info.candles_snapshot("BTC", "1h", SINCE, NOW)
    held = seen(store.candles("hyperliquid", "BTC", "trade"), NOW - MS_HOUR)
    for short, name in (("t", "opened_at"), ("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"), ("v", "volume")):
        assert [float(r[short]) for r in rows] == held[name].tolist()
