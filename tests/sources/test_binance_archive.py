"""Binance's public archive: what its files look like (rows as others have published them), what is listed, and what goes wrong.

The whole way of all archives is compared with the store: months and days, a contract that is listed no more, one that is dated.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.server import to_ms
from infra.emulator.store import MS_HOUR, PriceKind
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.archives import Files, decode_listing
from pipelines.load import load
from pipelines.reading import Unreadable, read
from pipelines.registry import source_rows
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.sources.binance_coinm_archive import SOURCE as COINM
from pipelines.sources.binance_usdm_archive import SOURCE as USDM
from pipelines.windows import Window, iso
from tests.sources.kit import DAY, NOW, fetch_from_emulator, store_rows
from tests.whole import AS_OF, database, perps, window

BAR = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
#: Of BTCUSDT-1h-2020-01.zip, as several readers of the archive show it.
KLINE = "1577836800000,7189.43,7190.52,7170.15,7171.55,2449.049,1577840399999,17576424.41,3688,996.198,7149370.36,0"


def zipped(*lines: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file.csv", "".join(f"{line}\n" for line in lines))
    return packed.getvalue()


# --- a file -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [[BAR], []])
@pytest.mark.parametrize("unit", [1, 1000])
def test_a_bar_with_and_without_a_header_in_milliseconds_or_microseconds(header: list[str], unit: int) -> None:
    at, rest = KLINE.split(",", 1)
    [row] = read(USDM.endpoint("candles"), zipped(*header, f"{int(at) * unit},{rest}")).rows
    assert (row.open_time, row.open, row.high, row.low, row.close) == (1577836800000, 7189.43, 7190.52, 7170.15, 7171.55)
    assert (row.volume, row.quote_volume, row.trades) == (2449.049, 17576424.41, 3688)
    [row] = read(COINM.endpoint("candles"), zipped(*header, KLINE)).rows
    assert (row.volume, row.base_volume) == (2449.049, 17576424.41)


def test_metrics_as_published_with_quoted_empty_texts() -> None:
    """BTCUSD_PERP-metrics-2023-06-25.zip, its first rows; a row of ETHUSDT's of 2025-07-01 begins five minutes later."""
    first = '2023-06-25 00:00:00,BTCUSD_PERP,5578700.00000000,18265.00911826,"","","",0.00855776'
    second = '2023-06-25 00:05:00,BTCUSD_PERP,5578209.00000000,18261.90678854,"","","",1.19645130'
    rows = list(read(COINM.endpoint("open_interest"), zipped(METRICS, first, second)).rows)
    assert [(r.create_time, r.sum_open_interest, r.sum_open_interest_value) for r in rows] == [
        (to_ms("2023-06-25T00:00"), 5578700.0, 18265.00911826),
        (to_ms("2023-06-25T00:05"), 5578209.0, 18261.90678854),
    ]
    assert [(r.count_long_short_ratio, r.sum_taker_long_short_vol_ratio) for r in rows] == [(None, 0.00855776), (None, 1.1964513)]


def test_funding_as_published() -> None:
    """ETHUSDT-fundingRate-2025-07.zip."""
    body = zipped("calc_time,funding_interval_hours,last_funding_rate", "1751328000007,8,0.00008191")
    [row] = read(USDM.endpoint("funding_rates"), body).rows
    assert (row.funding_time, row.funding_interval_hours, row.funding_rate) == (1751328000007, 8.0, 0.00008191)


@pytest.mark.parametrize("has_header", [True, False])
def test_liquidations_as_published_stand_twice_and_count_once(has_header: bool) -> None:
    """BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip; the header is sometimes missing."""
    header = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
    lines = ["1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7"] * 2
    lines += ["1687656473356,BUY,LIMIT,IOC,43,30756.6,30631.6,FILLED,1,43"]
    body = zipped(*[header + "accumulated_fill_quantity"] * has_header, *lines)
    rows = list(read(COINM.endpoint("liquidations"), body).rows)
    assert [(r.trade_time, r.side, r.average_price, r.filled, r.status, r.price, r.quantity) for r in rows] == [
        (1687656471926, "BUY", 30631.6, 7.0, "FILLED", 30741.3, 7.0),
        (1687656473356, "BUY", 30631.6, 43.0, "FILLED", 30756.6, 43.0),
    ]


def test_columns_are_found_by_the_header_and_one_that_is_gone_is_named() -> None:
    names, values = BAR.split(","), KLINE.split(",")
    turned = zipped(",".join(reversed([*names, "new"])), ",".join(reversed([*values, "9"])))
    assert list(read(USDM.endpoint("candles"), turned).rows) == list(read(USDM.endpoint("candles"), zipped(BAR, KLINE)).rows)
    with pytest.raises(Unreadable, match=r"the header has no column open_time: time,") as problem:
        read(USDM.endpoint("candles"), zipped(BAR.replace("open_time", "time"), KLINE))
    assert problem.value.flaw.place == "$"
    [row] = read(USDM.endpoint("candles"), zipped(BAR.replace("quote_volume", "turnover"), KLINE)).rows
    assert row.quote_volume is None, "may be absent"


@pytest.mark.parametrize(
    "odd", ["x", KLINE.replace("7189.43", "n/a"), KLINE.replace("7189.43", "inf"), "soon" + KLINE, "7" + KLINE]
)
def test_an_odd_line_costs_that_line(odd: str) -> None:
    other = KLINE.replace("1577836800000", "1577840400000")
    reading = read(USDM.endpoint("candles"), zipped(BAR, KLINE, odd, other))
    assert [row.open_time for row in reading.rows] == [1577836800000, 1577840400000] and len(reading.flaws) == 1
    with pytest.raises(Unreadable, match="no line can be read"):
        read(USDM.endpoint("candles"), zipped(BAR, odd))


def test_what_is_no_such_file_is_refused() -> None:
    whole = zipped(BAR, KLINE)
    for body, said in ((whole[:-9], "not a zip"), (b"no zip", "not a zip"), (zipped(), "the file is empty")):
        with pytest.raises(Unreadable, match=said):
            read(USDM.endpoint("candles"), body)
    assert len(read(USDM.endpoint("candles"), zipped(BAR)).rows) == 0


NUMBERS = st.floats(0, 1e12).map(lambda n: f"{n:.8f}") | st.integers(0, 10**9).map(str)


@given(st.lists(st.tuples(st.integers(0, 1000), NUMBERS, NUMBERS | st.just("")), min_size=1), st.booleans())
def test_any_file_is_what_the_standard_library_reads(rows: list[tuple[int, str, str]], has_header: bool) -> None:
    """The last row of a time counts."""
    lines = [f"{1577836800000 + hour * MS_HOUR},{price},9,1,{price},5,0,{turnover},3,0,0,0" for hour, price, turnover in rows]
    body = zipped(*[BAR] * has_header, *lines)
    expected = {int(r["open_time"]): r for r in csv.DictReader(io.StringIO("\n".join([BAR, *lines])))}
    found = {row.open_time: row for row in read(USDM.endpoint("candles"), body).rows}
    assert found.keys() == expected.keys()
    for at, row in found.items():
        assert row.close == float(expected[at]["close"])
        assert row.quote_volume == (float(expected[at]["quote_volume"]) if expected[at]["quote_volume"] else None)


# --- what there is ----------------------------------------------------------------------------------------------------------


def test_a_page_of_a_listing_names_the_next_one_or_its_last_key_does() -> None:
    """By S3's reference of ListObjects: `NextMarker` is sent with a delimiter alone."""
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    head = f"<?xml version='1.0' encoding='UTF-8'?>\n<ListBucketResult {space}><Name>data.binance.vision</Name>"
    files = "".join(
        f"<Contents><Key>data/{name}</Key><LastModified>2024-02-02T06:01:02.000Z</LastModified><ETag>&quot;9d{name}&quot;</ETag>"
        "<Size>2207</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for name in ("a.zip", "a.zip.CHECKSUM")
    )
    tail = "</ListBucketResult>"
    page = decode_listing(f"{head}<IsTruncated>true</IsTruncated>{files}{tail}".encode())
    assert page["objects"][0] == {"key": "data/a.zip", "size": "2207", "etag": "9da.zip"}
    assert page["marker"] == "data/a.zip.CHECKSUM"
    folder = "<CommonPrefixes><Prefix>data/BTCUSDT/</Prefix></CommonPrefixes>"
    page = decode_listing(f"{head}<NextMarker>data/BTC</NextMarker><IsTruncated>true</IsTruncated>{folder}{tail}".encode())
    assert (page["folders"], page["marker"]) == ([{"prefix": "data/BTCUSDT/"}], "data/BTC")
    assert decode_listing(f"{head}<IsTruncated>false</IsTruncated>{files}{tail}".encode())["marker"] == ""


@pytest.mark.parametrize(
    ("name", "base"),
    [("BTCUSDT", "BTC"), ("BTCUSDT_240329", None), ("ICPUSDT_SETTLED", "ICP"), ("LITUSDTSETTLED1", "LIT"), ("BTCBUSD", "BTC"),
     ("1000PEPEUSDC", "PEPE"), ("DEFIUSDT", "DEFI"), ("BTCDOMUSDT", "BTCDOM"), ("ETHBTC", None)],
)  # fmt: skip
def test_what_a_folder_is_is_read_from_its_name(name: str, base: str | None) -> None:
    assert USDM.parse_instruments
    page = {"objects": [], "folders": [{"prefix": f"data/futures/um/daily/klines/{name}/"}], "marker": ""}
    found = USDM.parse_instruments(USDM.endpoint("instruments").convert(page))
    assert [each.base_asset for each in found] == [base] * (base is not None)


def test_the_calendar_of_a_window_over_a_leap_february() -> None:
    window = Window(to_ms("2024-01-30T00:00"), to_ms("2024-03-02T00:00"))
    paths = [r.path for r in USDM.endpoint("candles").plan(Instrument("BTCUSDT", "BTC"), window)]
    assert [path[-14:] for path in paths] == ["2024-01-30.zip", "2024-01-31.zip", "1h-2024-02.zip", "2024-03-01.zip"]
    periods = [r.window for r in Files("", "{symbol}-").plan(Instrument("A", "A"), window)]
    assert [iso(each.start)[:10] for each in periods if each] == ["2024-01-01", "2024-02-01", "2024-03-01"]


# --- the emulator -----------------------------------------------------------------------------------------------------------

FOLDER = "/binance_archive/data/futures/um/daily/klines/BTCUSDT/1h/"
LAST = "BTCUSDT-1h-2026-11-21.zip"


def test_the_emulator_sends_a_file_whole_or_by_ranges_with_its_checksum(emulator: Served) -> None:
    whole = httpx.get(emulator.url + FOLDER + LAST)
    part = httpx.get(emulator.url + FOLDER + LAST, headers={"Range": "bytes=2-9"})
    assert (part.status_code, part.content) == (206, whole.content[2:10])
    stated = httpx.get(f"{emulator.url}{FOLDER}{LAST}.CHECKSUM").text
    assert stated == f"{hashlib.sha256(whole.content).hexdigest()}  {LAST}\n"
    assert whole.headers["ETag"] == f'"{hashlib.md5(whole.content).hexdigest()}"'
    assert httpx.get(emulator.url + FOLDER + LAST, headers={"Range": "bytes=999999-"}).status_code == 416


def test_pages_of_the_emulators_listing_follow_each_other(emulator: Served) -> None:
    prefix = FOLDER.removeprefix("/binance_archive/")
    keys: list[str] = []
    marker = ""
    while True:
        asked = {"prefix": prefix, "marker": marker, "max-keys": "100"}
        page = decode_listing(httpx.get(f"{emulator.url}/binance_archive/", params=asked, timeout=60).content)
        keys += [each["key"] for each in page["objects"]]
        if not (marker := page["marker"]):
            break
    assert len(keys) == 240 and keys == sorted(set(keys)) and keys[-2:] == [prefix + LAST, f"{prefix}{LAST}.CHECKSUM"]


@pytest.fixture
def archive(store: SyntheticMarket) -> Iterator[Served]:
    """An emulator of its own, to which files may be done."""
    with serve(store, as_of=NOW, days=4, limits_scale=1e6) as served:
        yield served


def test_a_damaged_file_a_missing_day_and_a_changed_header_cost_what_is_in_them(archive: Served, tmp_path: Path) -> None:
    days = ("2026-11-19", "2026-11-20", "2026-11-21")
    archive.fault("damaged_file", path_contains=f"/klines/BTCUSDT/1h/BTCUSDT-1h-{days[0]}")
    archive.fault("missing_file", path_contains=f"metrics-{days[1]}")
    archive.fault("other_header", path_contains=f"/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-{days[2]}")
    asked: dict[str, Any] = {"window": Window(NOW - 3 * DAY, NOW), "assets": ["BTC"], "tries": 2}
    run, result = fetch_from_emulator("binance_usdm_archive", archive, tmp_path, **asked)
    [failure], [page] = result.failures, result.quarantined
    assert f"1h-{days[0]}.zip" in str(failure) and "not what its CHECKSUM says" in str(failure)
    assert (page.endpoint_name, page.problem[:40]) == ("mark_candles", "the header has no column open_time, open")
    [line] = [each for each in result.warnings if "lacks" in each]
    assert "open_interest: the archive lacks 1 days between others, such as 2026-11-20 of BTCUSDT" in line
    assert [str(day) for day in result.whole_days(run, "index_candles")] == list(days)
    assert [str(day) for day in result.whole_days(run, "candles")] == list(days[1:])
    loaded = load(run, USDM, result.entries)
    assert (loaded.rows["open_interest"], loaded.rows["candles"], loaded.rows["mark_candles"]) == (2 * 288, 48, 48)

    archive.clear_faults()
    archive.clear_requests()
    run, result = fetch_from_emulator("binance_usdm_archive", archive, tmp_path, **asked)
    assert not (result.failures or result.quarantined or result.warnings)
    asked_again = [each["path"][-14:-4] for each in archive.requests() if each["path"].endswith(".zip")]
    assert sorted(asked_again) == list(days), "and of the others nothing"
    assert load(run, USDM, result.entries).rows["candles"] >= 24


def test_a_file_that_was_replaced_is_requested_again(archive: Served, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"window": Window(NOW - DAY, NOW), "assets": ["BTC"]}
    fetch_from_emulator("binance_usdm_archive", archive, tmp_path, **asked)
    archive.fault("other_header", path_contains="/klines/")  # other bytes, and so another ETag
    _, result = fetch_from_emulator("binance_usdm_archive", archive, tmp_path, **asked)
    assert [page.endpoint_name for page in result.quarantined] == ["candles"]


# --- the whole way ----------------------------------------------------------------------------------------------------------

FIRST, END = to_ms("2025-05-29T00:00"), to_ms(AS_OF.removesuffix("Z"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[SyntheticMarket, Callable[[str], list[tuple[Any, ...]]]]:
    """The market, and a query on the warehouse after a run of all archives over three days of May and nine of June."""
    home = tmp_path_factory.mktemp("archive")
    market = SyntheticMarket(seed=7, until=to_ms(AS_OF))
    with serve(market, as_of=AS_OF, days=60, limits_scale=1e6) as served:
        archives = [name for name, row in source_rows().items() if row.archive_of]
        venues = {"venues": ",".join(archives), "report": False, "liquidation_days": 3}
        ended = perps(home, served.url, *window("2025-05-29", "2025-06-09"), assets="BTC,PEPE", **venues)
    assert ended.status == 0, ended.output

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(database(home)), read_only=True) as connection:
            return connection.execute(f"set TimeZone = 'UTC'; {sql}").fetchall()

    return market, query


#: Of an instrument the store's venue and coin, what a size is multiplied by, and how far sizes may be off, for rounding.
BINANCE = {
    "binance:BTCUSDT": ("binance", "BTC", 1, 1e-9),
    "binance:1000PEPEUSDT": ("binance", "1000PEPE", 1000, 1e-9),
    "binance:BTCUSD_PERP": ("binance_coinm", "BTC", 1, 2e-3),
}
OTHERS = {
    "bybit:BTCUSDT": ("bybit", "BTC", 1, 1e-9),
    "bybit:1000PEPEUSDT": ("bybit", "1000PEPE", 1000, 1e-9),
    "bybit:BTCUSD": ("bybit_inverse", "BTC", 1, 2e-3),
    "okx:BTC-USDT-SWAP": ("okx", "BTC", 1, 1e-9),
    "okx:PEPE-USDT-SWAP": ("okx", "PEPE", 1, 1e-9),
    "gate:BTC_USDT": ("gate", "BTC", 1, 2e-3),
    "gate:PEPE_USDT": ("gate", "PEPE", 1, 2e-3),
    "bitmex:XBTUSD": ("bitmex", "BTC", 1, 1e-9),
    "bitmex:ETHUSD": ("bitmex", "ETH", 1, 1e-9),
}
#: The ends of what there is yet: days of UTC+8, a day late; months.
ENDS = {"okx": "2025-06-08T16:00", "gate": "2025-06-01T00:00"}
MARKETS = BINANCE | OTHERS
#: Of the others, those whose archives have funding.
WITH_FUNDING = [*BINANCE, *(name for name in OTHERS if name.startswith(("okx", "gate")))]
SPAN = Window(FIRST, END)


@pytest.mark.parametrize("instrument", MARKETS)
def test_the_marts_have_the_stores_bars(instrument: str, whole: Any) -> None:
    market, query = whole
    venue, coin, multiplier, error = MARKETS[instrument]
    kinds: tuple[PriceKind, ...] = ("mark", "index") if instrument in BINANCE else ()
    closes = [f"{kind}_close" for kind in kinds]
    found = query(
        f"select {', '.join(['epoch_ms(opened_at)', 'open', 'high', 'low', 'close', *closes, 'volume_base', 'volume_usd'])}"
        f" from marts.fct_candles where instrument_id = '{instrument}' and opened_at >= '2025-05-29' order by 1"
    )
    span = Window(FIRST, to_ms(ENDS.get(venue, AS_OF.removesuffix("Z"))))
    bars, *others = (list(store_rows(market.candles(venue, coin, kind), span)) for kind in ("trade", *kinds))
    true = [
        (b[0], *(price / multiplier for price in (*b[1:5], *(each[4] for each in other))), b[5] * multiplier, b[6])
        for b, *other in zip(bars, *others, strict=True)
    ]
    assert len(found) == len(true) == (span.end - span.start) // MS_HOUR
    *exact, dollars = zip(*found, strict=True)
    *truth, turnover = zip(*true, strict=True)
    np.testing.assert_allclose(exact, truth, rtol=error)
    np.testing.assert_allclose(dollars, turnover, rtol=0.02)  # of bars without a turnover, volume at the typical price


@pytest.mark.parametrize("instrument", WITH_FUNDING)
def test_the_marts_have_the_stores_settlements_of_may(instrument: str, whole: Any) -> None:
    market, query = whole
    venue, coin, *_ = MARKETS[instrument]
    found = query(
        "select epoch_ms(settled_at), rate_interval, interval_hours from marts.fct_funding_rates"
        f" where instrument_id = '{instrument}' and settled_at >= '2025-05-29' order by 1"
    )
    settled = list(store_rows(market.funding(venue, coin), Window(FIRST, to_ms("2025-06-01T00:00"))))
    hours = round((settled[1][0] - settled[0][0]) / MS_HOUR)
    may = [(at // MS_HOUR * MS_HOUR, rate, hours) for at, rate, _ in settled]
    in_time = [row for row in may if venue != "okx" or row[0] < to_ms("2025-05-31T16:00")]  # the end of UTC+8's May
    np.testing.assert_allclose(found, in_time, rtol=1e-9)


@pytest.mark.parametrize("instrument", BINANCE)
def test_the_marts_have_the_stores_open_interest(instrument: str, whole: Any) -> None:
    market, query = whole
    venue, coin, multiplier, _ = MARKETS[instrument]
    found = query(
        "select epoch_ms(observed_at), oi_base from marts.fct_open_interest"
        f" where instrument_id = '{instrument}' and observed_at >= '2025-05-29' order by 1"
    )
    points = [(at, size * multiplier) for at, size, _ in store_rows(market.open_interest(venue, coin), SPAN)]
    first = int(venue == "binance_coinm")  # contracts are valued by the bar that ends then: the first has none
    np.testing.assert_allclose(found[first:], points[first:], rtol=2e-3)


def test_what_is_listed_no_more_is_there_to_its_end_and_due_no_longer(whole: Any) -> None:
    _, query = whole
    listed = query(
        "select instrument_id, quote_asset, status from marts.dim_instruments"
        " where base_asset = 'BTC' and quote_asset <> 'USDT' order by 1"
    )
    gone = {"binance:BTCBUSD": "BUSD", "bybit:BTCPERP": "USDC", "okx:BTC-USDC-SWAP": "USDC"}
    coin_margined = {"binance:BTCUSD_PERP": "USD", "bybit:BTCUSD": "USD"}
    stated = {"bitmex:XBTUSD": ("USD", "delisted")}
    assert listed == sorted(
        [(name, quote, None) for name, quote in (gone | coin_margined).items()] + [(name, *each) for name, each in stated.items()]
    )
    everywhere = query("select instrument_id, status from marts.dim_instruments where instrument_id = 'gate:XBT_USDT'")
    assert everywhere == [("gate:XBT_USDT", "delisted")]
    last = query(
        "select instrument_id, max(opened_at) from marts.fct_candles"
        f" where instrument_id in ({', '.join(map(repr, gone))}) group by all order by 1"
    )
    assert last == [(name, datetime(2025, 6, 7, 23, tzinfo=UTC).replace(tzinfo=None)) for name in sorted(gone)]
    due = query(
        "select max(day)::varchar, sum(seen) = sum(expected) from marts.coverage_daily"
        " where dataset = 'candles' and venue in ('binance', 'bybit')"
    )
    assert due == [("2025-06-09", True)]


def test_liquidations_of_the_files_are_those_of_a_sampled_stream(whole: Any) -> None:
    market, query = whole
    found = query("select epoch_ms(liquidated_at), liquidated_side, completeness_class from marts.fct_liquidations order by 1")
    seconds: dict[int, tuple[float, int, bool]] = {}  # of each second the largest
    for at, long, price, size in store_rows(market.liquidations("binance_coinm", "BTC"), Window(END - 3 * DAY, END)):
        seconds[at // 1000] = max(seconds.get(at // 1000, (0.0, 0, False)), (price * size, at, long))
    events = sorted(seconds.values(), key=lambda event: event[1])
    assert found == [(at, "long" if long else "short", "sampled") for _, at, long in events] != []


def test_the_archives_take_no_part_unless_they_are_named() -> None:
    from pipelines.settings import Settings

    assert not {name for name, row in source_rows().items() if row.archive_of} & set(Settings(venues=["all"]).sources)
    assert Settings(venues=["binance_usdm_archive"]).sources == ["binance_usdm_archive"]
    assert get_source("binance_usdm_archive").limit_pool == "s3-ap-northeast-1.amazonaws.com"
