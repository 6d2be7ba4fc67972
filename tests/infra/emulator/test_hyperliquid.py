"""Hyperliquid: pages of 500, the latest 5,000 candles, aligned arrays, its answers to wrong bodies; the S3 archive by s3fs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pyarrow as pa
import pytest
import s3fs

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.infra.emulator.conftest import CLOSE, NOW, SINCE, START, ask, seen

DAY = 24 * MS_HOUR


def info(served: Served, **body: object) -> object:
    return ask(f"{served.url}/hyperliquid/info", body).json


def test_funding_pages_of_500(emulator: Served, store: SyntheticMarket) -> None:
    rows: list[dict[str, str]] = []
    start = SINCE
    while page := info(emulator, type="fundingHistory", coin="kPEPE", startTime=start):
        assert isinstance(page, list) and len(page) <= 500
        rows += page
        start = page[-1]["time"] + 1
    held = seen(store.funding("hyperliquid", "kPEPE"), NOW)
    assert len(rows) > 2800
    assert [r["time"] for r in rows] == held["settled_at"].tolist()
    assert [float(r["fundingRate"]) for r in rows] == held["rate"].tolist()


def test_only_the_latest_5000_candles_exist(unlimited: Served, store: SyntheticMarket) -> None:
    asked = {"coin": "BTC", "interval": "1h", "startTime": 0, "endTime": NOW}
    with serve(store, as_of=NOW, limits_scale=1e6) as limited:
        rows = info(limited, type="candleSnapshot", req=asked)
    held = seen(store.candles("hyperliquid", "BTC", "trade"), NOW - MS_HOUR, 0)
    assert isinstance(rows, list) and len(rows) == 5000
    for short, name in (
        ("t", "opened_at"),
        ("o", "open"),
        ("h", "high"),
        ("l", "low"),
        ("c", "close"),
        ("v", "volume"),
        ("n", "trades"),
    ):
        assert [float(r[short]) for r in rows] == held[name].tolist()[-5000:]
    older = info(unlimited, type="candleSnapshot", req={**asked, "endTime": NOW - 6000 * MS_HOUR})
    assert isinstance(older, list) and len(older) == 5000


def test_contexts_are_aligned_with_the_universe(emulator: Served, store: SyntheticMarket) -> None:
    answer = info(emulator, type="metaAndAssetCtxs")
    assert isinstance(answer, list)
    meta, contexts = answer
    assert [c["name"] for c in meta["universe"]] == [x.listed for x in store.listings("hyperliquid")]
    for coin, context in zip(meta["universe"], contexts, strict=True):
        held = seen(store.open_interest("hyperliquid", coin["name"]), NOW)
        assert float(context["openInterest"]) == held["size"][-1]
        assert float(context["funding"]) == store.running_rate("hyperliquid", coin["name"], NOW)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "nothing"}, 422),
        ({"coin": "BTC"}, 422),
        ({"type": "fundingHistory", "coin": "BTC"}, 422),
        ({"type": "candleSnapshot", "req": {"coin": "BTC"}}, 422),
        ({"type": "fundingHistory", "coin": "NOPE", "startTime": 0}, 500),
    ],
)
def test_wrong_bodies(emulator: Served, body: object, status: int) -> None:
    said = ask(f"{emulator.url}/hyperliquid/info", body)
    assert said.status == status
    assert status != 500 or said.json is None


@pytest.fixture
def archive(store: SyntheticMarket) -> Iterator[s3fs.S3FileSystem]:
    with serve(store, as_of=NOW, days=5) as served:
        yield s3fs.S3FileSystem(
            key="x", secret="x", endpoint_url=f"{served.url}/s3", requester_pays=True, skip_instance_cache=True
        )


def contexts_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(pa.CompressedInputStream(pa.BufferReader(body), "lz4").read().decode())))


def test_archive_days_that_are_over(store: SyntheticMarket, archive: s3fs.S3FileSystem) -> None:
    keys = archive.ls("hyperliquid-archive/asset_ctxs")
    assert (len(keys), keys[0][-16:], keys[-1][-16:]) == (5, "20261117.csv.lz4", "20261121.csv.lz4")
    body = archive.cat_file(keys[-1])
    assert archive.info(keys[-1])["size"] == len(body)
    assert archive.cat_file(keys[-1], start=10, end=20) == body[10:20]
    rows = [r for r in contexts_of(body) if r["coin"] == "ETH"]
    first = NOW // DAY * DAY - DAY
    held = seen(store.open_interest("hyperliquid", "ETH"), first + DAY - 1, first)
    assert (len(rows), rows[0]["time"]) == (24, "2026-11-21T00:00:00Z")
    assert [float(r["open_interest"]) for r in rows] == held["size"].tolist()
    assert [float(r["mark_px"]) for r in rows] == held["mark"].tolist()
    rates = [store.running_rate("hyperliquid", "ETH", at) for at in held["observed_at"].tolist()]
    assert [float(r["funding"]) for r in rows] == rates
    with pytest.raises(FileNotFoundError):
        archive.cat_file("hyperliquid-archive/asset_ctxs/20261122.csv.lz4")


def test_archive_denies_who_does_not_pay(emulator: Served) -> None:
    said = ask(f"{emulator.url}/s3/hyperliquid-archive/asset_ctxs/20261121.csv.lz4")
    assert said.status == 403 and b"<Code>AccessDenied</Code>" in said.body
    with pytest.raises(PermissionError):
        s3fs.S3FileSystem(key="x", secret="x", endpoint_url=f"{emulator.url}/s3", skip_instance_cache=True).cat_file(
            "hyperliquid-archive/asset_ctxs/20261121.csv.lz4"
        )


def test_what_is_not_held_is_null_or_empty(bare: Served) -> None:
    answer = info(bare, type="metaAndAssetCtxs")
    assert isinstance(answer, list)
    context = answer[1][0]
    assert (context["funding"], context["oraclePx"], context["dayBaseVlm"]) == (None, None, None)
    assert context["openInterest"] is None, "an hour old: what was held then is not what is held now"
    candles = info(bare, type="candleSnapshot", req={"coin": "TINY", "interval": "1h", "startTime": START, "endTime": NOW})
    assert isinstance(candles, list) and (candles[2]["c"], candles[2]["v"], candles[2]["n"]) == ("0.00000025", None, None)
    bare.set_clock("2025-06-15T18:59Z")
    assert info(bare, type="metaAndAssetCtxs")[1][0]["openInterest"] == "4" + "0" * 21  # type: ignore[index]
    bare.set_clock("2025-06-17T00:00Z")
    try:
        fs = s3fs.S3FileSystem(key="x", secret="x", endpoint_url=f"{bare.url}/s3", requester_pays=True, skip_instance_cache=True)
        rows = contexts_of(fs.cat_file("hyperliquid-archive/asset_ctxs/20250615.csv.lz4"))
    finally:
        bare.set_clock("2025-06-15T19:00Z")
    assert [r["mark_px"] for r in rows] == ["0.00001208", "0.0000121", "0.00000025", "0.000012"][: len(rows)]
    assert [float(r["mark_px"]) for r in rows] == CLOSE.tolist()[: len(rows)]
    assert {(r["funding"], r["oracle_px"]) for r in rows} == {("", "")}
