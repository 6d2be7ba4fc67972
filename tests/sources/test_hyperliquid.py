"""Hyperliquid's traps: arrays aligned by index, 5,000 candles, weights by rows, an archive on S3 whose reader pays."""

from __future__ import annotations

import csv
import io
import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import s3fs
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.buckets import pack
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.reading import Unreadable, read
from pipelines.source import Instrument
from pipelines.sources import hyperliquid_archive, hyperliquid_fills
from pipelines.sources.hyperliquid import SOURCE
from pipelines.sources.hyperliquid_archive import SOURCE as ARCHIVE
from pipelines.sources.hyperliquid_fills import SOURCE as FILLS
from pipelines.windows import Window
from tests.sources.handmade import CLOSE, START
from tests.sources.kit import DAY, NOW, ask, fetch_from_emulator, store_rows

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


# --- liquidations among all fills -------------------------------------------------------------------------------------------

LIQUIDATIONS = FILLS.endpoint("liquidations")
AT = 1_760_130_964_831


def fill(coin: str, side: str, sz: str, tid: int, victim: str = "", **more: Any) -> dict[str, Any]:
    """A fill with the fields of one of 2025-10-10."""
    own = {"coin": coin, "px": "22.075", "sz": sz, "side": side, "time": AT, "startPosition": "-28.53", "dir": "Close Short"}
    own |= {"closedPnl": "194.275035", "hash": "0x922a", "oid": 194018286846, "crossed": True, "fee": "0.0", "tid": tid}
    marked = {"liquidation": {"liquidatedUser": victim, "markPx": "22.025", "method": "market"}} if victim else {}
    return own | marked | {"feeToken": "USDC"} | more


def block(*events: tuple[str, dict[str, Any]]) -> str:
    stamp = "2025-10-10T21:16:04.831874687"
    return json.dumps({"local_time": stamp, "block_time": stamp, "block_number": 758800641, "events": events})


def lines(*texts: str) -> bytes:
    return pack("\n".join([*texts, ""]).encode())


#: Three of a venue's liquidations, by both parties: 28.53 AVAX and 7 kPEPE that bought, 3 AVAX that sold.
EVENTS = [
    ("0xa", fill("AVAX", "B", "28.53", 1, "0xa")), ("0xm", fill("AVAX", "A", "28.53", 1, "0xa", dir="Open Short")),
    ("0xb", fill("ETH", "A", "500", 2)), ("0xc", fill("ETH", "B", "500", 2)),
    ("0xm", fill("kPEPE", "A", "7", 3, "0xd")), ("0xD", fill("kPEPE", "B", "7", 3, "0xd", dir="Liquidated Cross Short")),
    ("0xe", fill("AVAX", "A", "3", 4, "0xe")), ("0xm", fill("AVAX", "B", "3", 4, "0xe")),
    ("0xs", fill("@107", "A", "9", 5, "0xs")), ("0xs", fill("PURR/USDC", "A", "9", 6, "0xs")),
    ("0xs", fill("xyz:TSLA", "A", "9", 7, "0xs")),
    ("0xv", fill("AVAX", "A", "28.53", 8, "0xv")), ("0xw", fill("AVAX", "B", "28.53", 8, "0xv", dir="Auto-Deleveraging")),
]  # fmt: skip


@pytest.mark.parametrize("by_block", [True, False])
def test_a_liquidation_counts_once_by_the_fill_of_its_user(by_block: bool) -> None:
    text = [block(*EVENTS[:4]), block(), block(*EVENTS[4:])] if by_block else [json.dumps(event) for event in EVENTS]
    rows = read(LIQUIDATIONS, lines(*text)).rows
    assert [(r.coin, r.side, r.sz, r.px, r.tid, r.user, r.method, r.mark_px, r.is_adl) for r in rows] == [
        ("AVAX", "B", 28.53, 22.075, 1, "0xa", "market", 22.025, False),
        ("kPEPE", "B", 7.0, 22.075, 3, "0xD", "market", 22.025, False),
        ("AVAX", "A", 3.0, 22.075, 4, "0xe", "market", 22.025, False),
        ("AVAX", "A", 28.53, 22.075, 8, "0xv", "market", 22.025, True),
    ]


KINDS = st.sampled_from(["plain", "forced", "backstop", "adl", "spot", "dex"])


@given(st.lists(st.tuples(KINDS, st.integers(1, 10**6), st.sampled_from("AB"))), st.randoms(use_true_random=False), st.booleans())
def test_the_total_is_that_of_the_liquidated_users_whatever_stands_beside(
    trades: list[tuple[str, int, str]], order: random.Random, by_block: bool
) -> None:
    events, expected = [("0x0", fill("BTC", "A", "1", 10**9))], 0
    for tid, (kind, size, side) in enumerate(trades):
        coin, user = {"spot": "@1", "dex": "xyz:BTC"}.get(kind, "BTC"), f"0x{tid}"
        victim = "" if kind == "plain" else user
        other = {"dir": "Auto-Deleveraging"} if kind == "adl" else {}
        events += [
            (user, fill(coin, side, str(size), tid, victim)),
            ("0xm", fill(coin, "BA"["AB".index(side)], str(size), tid, victim, **other)),
        ]
        expected += size if kind in ("forced", "backstop") else 0
    order.shuffle(events)
    text = [block(*events[n : n + 3]) for n in range(0, len(events), 3)] if by_block else [json.dumps(event) for event in events]
    assert sum(row.sz for row in read(LIQUIDATIONS, lines(*text)).rows if not row.is_adl) == expected


@pytest.mark.parametrize("odd", ['{"block_time": "2025-10-10T21:16:04', "x", '["0xa", {"coin": "AVAX", "liquidation": 7}]', "]}"])
def test_a_damaged_line_of_a_file_costs_that_line(odd: str) -> None:
    reading = read(LIQUIDATIONS, lines(block(*EVENTS[:4]), odd, block(*EVENTS[4:])))
    assert len(reading.rows) == 4 and [flaw.place for flaw in reading.flaws] == ["$.line 2"]
    bad = block(EVENTS[2], ("0xa", fill("AVAX", "B", "n/a", 1, "0xa")))
    reading = read(LIQUIDATIONS, lines(block(*EVENTS), bad))
    assert len(reading.rows) == 4 and [(flaw.place, flaw.value) for flaw in reading.flaws] == [("$.line 2 fill 2.sz", "'n/a'")]


def test_a_file_that_is_not_whole_or_beyond_its_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lines(block(*EVENTS))
    for body, said in ((whole[:-9], "Truncated"), (b"no LZ4", "."), (pack(b""), "the file is empty"), (lines("x"), ".")):
        with pytest.raises(Unreadable, match=said):
            read(LIQUIDATIONS, body)
    for bound, said in {"MOST_BYTES": "longer than", "MOST_LINE": "line 1 is longer", "MOST_ROWS": "more than 2 liq"}.items():
        with monkeypatch.context() as patch, pytest.raises(Unreadable, match=said):
            patch.setattr(hyperliquid_fills, bound, 2)
            patch.setattr(hyperliquid_fills, "CHUNK", 100)
            read(LIQUIDATIONS, whole)


def test_the_memory_of_a_long_file_is_that_of_a_chunk() -> None:
    """100 MB of other fills, and a liquidation at both ends."""
    forced, plain = (json.dumps(event).encode() + b"\n" for event in (EVENTS[0], EVENTS[2]))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as out:
        out.write(forced)
        for _ in range(100):
            out.write(plain * (1_000_000 // len(plain)))
        out.write(forced.replace(b'"tid": 1', b'"tid": 9'))
    body = bytes(sink.getvalue())
    tracemalloc.start()
    try:
        assert list(hyperliquid_fills.decode(body)) == ["line 1 fill 1", f"line {100 * (1_000_000 // len(plain)) + 2} fill 1"]
        assert tracemalloc.get_traced_memory()[1] < 6 * hyperliquid_fills.CHUNK
    finally:
        tracemalloc.stop()


def planned(start: int, end: int) -> list[str]:
    requests = list(LIQUIDATIONS.plan(Instrument("", ""), Window(start, end)))
    following = [LIQUIDATIONS.next_page(request, {}, []) for request in requests]
    return [request.path for pair in zip(requests, following, strict=True) for request in pair if request]


def test_the_hour_in_which_the_form_changed_has_two_files() -> None:
    change, first = hyperliquid_fills.BY_BLOCK_FROM, hyperliquid_fills.BY_LINE_FROM
    old, new = "/node_fills/hourly/20250727", "/node_fills_by_block/hourly/20250727"
    assert planned(change - MS_HOUR, change + 2 * MS_HOUR + 5) == [f"{old}/7.lz4", f"{old}/8.lz4", f"{new}/8.lz4", f"{new}/9.lz4"]
    assert planned(first - DAY, first + MS_HOUR) == ["/node_fills/hourly/20250525/14.lz4"] and not planned(0, first)


def test_files_of_fills_exist_after_their_hour(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW + MS_HOUR // 2, days=2) as served:
        bucket = s3(served, requester_pays=True)
        folder = "hl-mainnet-node-data/node_fills_by_block/hourly"
        assert len(bucket.ls(folder)) == 2, "days, and no hour of the one in progress is over"
        assert sorted(bucket.ls(f"{folder}/20261121")) == sorted(f"{folder}/20261121/{hour}.lz4" for hour in range(24))
        body = bucket.cat_file(f"{folder}/20261121/9.lz4")
    reading = read(LIQUIDATIONS, body)
    listed = [x.listed for x in store.listings("hyperliquid")]
    hour = Window(NOW - DAY + 9 * MS_HOUR, NOW - DAY + 10 * MS_HOUR)
    true = [(at, coin, long) for coin in listed for at, long, *_ in store_rows(store.liquidations("hyperliquid", coin), hour)]
    assert sorted((r.time, r.coin, r.side == "A") for r in reading.rows if not r.is_adl) == sorted(true) != []
    assert {r.is_adl for r in reading.rows} == {True, False} and not reading.flaws


def test_an_hour_that_is_not_there_yet_is_named_and_asked_again(emulator: Served, tmp_path: Path) -> None:
    window = Window(NOW - 4 * MS_HOUR, NOW)
    try:
        emulator.set_clock("2026-11-21T22:30Z")
        run, result = fetch_from_emulator("hyperliquid_fills", emulator, tmp_path, window=window)
    finally:
        emulator.set_clock("2026-11-22T00:00Z")
    assert (len(result.entries), len(result.warnings)) == (2, 2) and "21/22.lz4" in " ".join(result.warnings)
    windows = sorted(entry.window for entry in result.entries if entry.window)
    assert windows == [(at, at + MS_HOUR) for at in (window.start, window.start + MS_HOUR)]
    assert not result.whole_days(run)
    run, result = fetch_from_emulator("hyperliquid_fills", emulator, tmp_path, window=window)
    assert (len(result.entries), result.reused, result.warnings) == (4, 2, [])
