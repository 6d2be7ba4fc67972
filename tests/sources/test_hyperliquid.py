"""Hyperliquid's traps: arrays aligned by index, 5,000 candles, weights by rows, an archive on S3 whose reader pays."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pytest
import s3fs

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.reading import Unreadable, read
from pipelines.source import Instrument
from pipelines.sources import hyperliquid_archive
from pipelines.sources.hyperliquid import SOURCE
from pipelines.sources.hyperliquid_archive import SOURCE as ARCHIVE
from pipelines.windows import Window
from tests.sources.handmade import CLOSE, START
from tests.sources.kit import DAY, NOW, ask, store_rows

LAST_DAY = "hyperliquid-archive/asset_ctxs/20261121.csv.lz4"


def info(served: Served, **body: object) -> Any:
    return ask(served, "hyperliquid", f"/info {json.dumps(body)}").json()


def test_contexts_that_are_not_aligned_are_refused() -> None:
    endpoint = SOURCE.endpoint("contexts")
    page = endpoint.read(b'[{"universe":[{"name":"BTC","szDecimals":5},{"name":"ETH","szDecimals":4}]},[{"markPx":"1"}]]')
    with pytest.raises(ValueError, match="aligned"):
        endpoint.rows(page)


def test_a_full_page_weighs_by_its_rows() -> None:
    for endpoint, hours, weight in (("funding_rates", 500, 20 + 500 // 20), ("candles", 5000, 20 + 84)):  # 5000 rows: 84 sixties
        [request] = SOURCE.endpoint(endpoint).plan(Instrument("BTC", "BTC"), Window(0, hours * MS_HOUR))
        assert request.weights == {"weight": weight}


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_only_the_latest_5000_candles_exist(store: SyntheticMarket) -> None:
    asked = {"coin": "BTC", "interval": "1h", "startTime": 0, "endTime": NOW}
    with serve(store, as_of=NOW, limits_scale=1e6) as limited:
        rows = info(limited, type="candleSnapshot", req=asked)
    bars = list(store_rows(store.candles("hyperliquid", "BTC", "trade"), Window(0, NOW)))[-5000:]
    numbers = [(r["t"], *(float(r[name]) for name in "ohlcv"), r["n"]) for r in rows]
    assert numbers == [(*bar[:6], bar[7]) for bar in bars]
    with serve(store, as_of=NOW, limits_scale=1e6, history_limits=False) as unlimited:
        older = info(unlimited, type="candleSnapshot", req={**asked, "endTime": NOW - 6000 * MS_HOUR})
    assert len(older) == len(rows) == 5000


def test_contexts_are_aligned_with_the_universe(emulator: Served, exchanges: Any, store: SyntheticMarket) -> None:
    meta, contexts = info(emulator, type="metaAndAssetCtxs")
    assert [coin["name"] for coin in meta["universe"]] == [x.listed for x in store.listings("hyperliquid")]
    for position, (coin, context) in enumerate(zip(meta["universe"], contexts, strict=True)):
        [(_, size, _)] = store_rows(store.open_interest("hyperliquid", coin["name"]), Window(NOW, NOW + 1))
        assert float(context["openInterest"]) == size
        assert float(context["funding"]) == store.running_rate("hyperliquid", coin["name"], NOW)
        exchange = exchanges("hyperliquid")
        [symbol] = [m["symbol"] for m in exchange.markets.values() if m["id"] == str(position) and m["swap"]]
        assert exchange.fetch_open_interest(symbol)["openInterestAmount"] == size


def s3(served: Served, **options: Any) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(key="x", secret="x", endpoint_url=f"{served.url}/s3", skip_instance_cache=True, **options)


def asset_contexts(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(pa.CompressedInputStream(pa.BufferReader(body), "lz4").read().decode())))


@pytest.fixture
def archive(store: SyntheticMarket) -> Iterator[s3fs.S3FileSystem]:
    with serve(store, as_of=NOW + DAY // 2, days=5) as served:
        yield s3(served, requester_pays=True)


def test_the_archive_has_the_days_that_are_over(store: SyntheticMarket, archive: s3fs.S3FileSystem) -> None:
    keys = archive.ls("hyperliquid-archive/asset_ctxs")
    assert (len(keys), keys[0][-16:], keys[-1][-16:]) == (5, "20261117.csv.lz4", "20261121.csv.lz4")
    body = archive.cat_file(LAST_DAY)
    assert archive.info(LAST_DAY)["size"] == len(body)
    assert archive.cat_file(LAST_DAY, start=10, end=20) == body[10:20]
    rows = [row for row in asset_contexts(body) if row["coin"] == "ETH"]
    points = list(store_rows(store.open_interest("hyperliquid", "ETH"), Window(NOW - DAY, NOW)))
    assert (len(rows), rows[0]["time"]) == (24, "2026-11-21T00:00:00Z")
    assert [(float(r["open_interest"]), float(r["mark_px"]), float(r["funding"])) for r in rows] == [
        (size, mark, store.running_rate("hyperliquid", "ETH", at)) for at, size, mark in points
    ]
    with pytest.raises(FileNotFoundError):
        archive.cat_file("hyperliquid-archive/asset_ctxs/20261122.csv.lz4")


def test_the_archive_denies_a_reader_that_does_not_pay(emulator: Served) -> None:
    with pytest.raises(PermissionError):
        s3(emulator).cat_file(LAST_DAY)
    answer = httpx.get(f"{emulator.url}/s3/{LAST_DAY}", headers={"Authorization": "x"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/xml")


def test_values_that_the_store_lacks_are_null_or_empty(bare: Served) -> None:
    [context] = info(bare, type="metaAndAssetCtxs")[1]
    assert (context["funding"], context["oraclePx"], context["dayBaseVlm"]) == (None, None, None)
    assert context["openInterest"] is None, "an hour old: no value of the present"
    candles = info(bare, type="candleSnapshot", req={"coin": "TINY", "interval": "1h", "startTime": START, "endTime": NOW})
    assert (candles[2]["c"], candles[2]["v"], candles[2]["n"]) == ("0.00000025", None, None)
    try:
        bare.set_clock("2025-06-15T18:59Z")
        assert info(bare, type="metaAndAssetCtxs")[1][0]["openInterest"] == "4" + "0" * 21
        bare.set_clock("2025-06-17T00:00Z")
        rows = asset_contexts(s3(bare, requester_pays=True).cat_file("hyperliquid-archive/asset_ctxs/20250615.csv.lz4"))
    finally:
        bare.set_clock("2025-06-15T19:00Z")
    assert [r["mark_px"] for r in rows] == ["0.00001208", "0.0000121", "0.00000025", "0.000012"][: len(rows)]
    assert [float(r["mark_px"]) for r in rows] == CLOSE.tolist()[: len(rows)] != []
    assert {(r["funding"], r["oracle_px"]) for r in rows} == {("", "")}


def packed(*lines: str) -> bytes:
    names = "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px"
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as out:
        out.write("\n".join([names, *lines, ""]).encode(errors="surrogateescape"))
    return bytes(sink.getvalue())


def test_a_file_that_unpacks_to_more_than_a_day_can_have_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hyperliquid_archive, "MOST_BYTES", 10_000)
    with pytest.raises(Unreadable, match=r"the file is longer than 0\.01 MB"):
        read(ARCHIVE.endpoint("asset_ctxs"), packed(*[context_line("BTC")] * 1000))


def context_line(coin: str, minute: int = 0, interest: object = 5) -> str:
    return f"2025-10-10T20:{minute:02}:00Z,{coin},0.00001,{interest},1,2,,3,3,,3,3"


@pytest.mark.parametrize("coin", ["NA", "NULL", "nan", "007"])
def test_a_coin_of_the_archive_is_a_name_whatever_it_looks_like(coin: str) -> None:
    [row] = read(ARCHIVE.endpoint("asset_ctxs"), packed(context_line(coin))).rows
    assert (row.coin, row.open_interest, row.premium, row.mid_px) == (coin, 5.0, "", "")


@pytest.mark.parametrize(
    "odd",
    ["", "x", context_line("BTC", 0, "n/a"), context_line("BTC", 0, "inf"), "soon,BTC" + ",1" * 10, context_line("B\udcff")],
)
def test_an_odd_line_of_the_archive_costs_that_line(odd: str) -> None:
    """The hour's first row is the first that can be read; an empty line is none at all."""
    good = [context_line("BTC", 2, 7), context_line("BTC", 1, 6), context_line("ETH", 5, 8)]
    reading = read(ARCHIVE.endpoint("asset_ctxs"), packed(odd, *good))
    assert [(row.coin, row.open_interest) for row in reading.rows] == [("BTC", 6.0), ("ETH", 8.0)]
    assert len(reading.flaws) == (odd != "")


def test_a_file_of_the_archive_without_a_readable_line_is_refused() -> None:
    for body in (b"", b"no LZ4", packed("x"), packed(context_line("BTC", 0, "n/a"))):
        with pytest.raises(Unreadable):
            read(ARCHIVE.endpoint("asset_ctxs"), body)
