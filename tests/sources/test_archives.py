"""Archives of files: what trades and minutes make of an hour, whose clock a file's days are, and what goes wrong with files.

Rows are those that public parsers show, or worked by hand; whole files are compared with the standard library's reading of them,
and a fetch with the store. What Binance's files are is in `test_binance_archive.py`, and the whole way of all archives.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from math import fsum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from infra.emulator.server import to_ms
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.archives import Files
from pipelines.backfill import Planned, plan_part, with_archives
from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.errors import Rejected, Transient
from pipelines.limits import File, Limiter
from pipelines.reading import Reading, Unreadable, read
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.windows import Window, iso
from tests.sources.kit import DAY, fetch_from_emulator
from tests.whole import AS_OF

NOW = to_ms(AS_OF.removesuffix("Z"))


def packed(*lines: str, end: str = "\n") -> bytes:
    return gzip.compress("".join(f"{line}{end}" for line in lines).encode())


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(seed=7, until=NOW)


@pytest.fixture
def archive(market: SyntheticMarket) -> Iterator[Served]:
    """An emulator of its own, to which files may be done."""
    with serve(market, as_of=AS_OF, days=100, limits_scale=1e6) as served:
        yield served


def fetched(name: str, served: Served, home: Path, first: str, last: str, **chosen: Any) -> tuple[Run, Any, list[str]]:
    """A run, its result, and the paths of the files that were requested."""
    served.clear_requests()
    window = Window(to_ms(f"{first}T00:00"), to_ms(f"{last}T00:00") + DAY)
    run, result = fetch_from_emulator(name, served, home, window=window, **{"assets": ["BTC"], "tries": 2, **chosen}, now=NOW)
    return run, result, [each["path"] for each in served.requests() if each["method"] == "GET" and "." in each["path"][-8:]]


# --- whose days ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["okx_archive", "bybit_linear_archive", "binance_usdm_archive"])
@given(st.integers(0, 24 * 365 * 2), st.integers(1, 24 * 100))
def test_what_is_asked_for_is_each_moment_once(name: str, first: int, hours: int) -> None:
    """Days and months of any clock, side by side; of another clock than UTC's no more than the window."""
    start = to_ms("2023-12-30T00:00") + first * MS_HOUR
    window = Window(start, start + hours * MS_HOUR)
    parts = [r.window for r in get_source(name).endpoint("candles").plan(Instrument("BTC-USDT-SWAP", "BTC"), window) if r.window]
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    whole = window if name != "binance_usdm_archive" else window.whole_days
    assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)


# --- Bybit ------------------------------------------------------------------------------------------------------------------

TRADE = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


def bybit(*lines: str, header: str = TRADE) -> Reading:
    return read(get_source("bybit_linear_archive").endpoint("candles"), packed(*([header] if header else []), *lines))


def trade(at: float | str, price: str, size: str, other: str = "0") -> str:
    return f"{at},BTCUSDT,Buy,{size},{price},PlusTick,id,0,{size},{other}"


def bars(reading: Reading) -> list[tuple[Any, ...]]:
    return [(iso(r.open_time)[11:16], r.open, r.high, r.low, r.close, r.volume, r.turnover, r.trades) for r in reading.rows]


def test_trades_as_published() -> None:
    """BTCUSDT2020-03-25 as parsers quote it, of a file that runs backwards; BTCUSD of 2022; a row with the new column."""
    [row] = bybit("1585180700.0647,BTCUSDT,Buy,0.042,6698.5,PlusTick,08ff9568,28133700000.0,0.042,281.337").rows
    assert (iso(row.open_time), row.open, row.close, row.volume, row.turnover) == (
        "2020-03-25T23:00:00Z",
        6698.5,
        6698.5,
        0.042,
        281.337,
    )
    [row] = bybit(
        "1668728606,BTCUSD,Buy,611,16661.00,ZeroMinusTick,00fcc5e9,3.6672468639337374e+06,611,0.036672468639337374"
    ).rows
    assert (iso(row.open_time), row.volume, row.turnover) == ("2022-11-17T23:00:00Z", 611, 0.036672468639337374)
    [row] = bybit(
        "1784851200.0547,BTCUSDT,Buy,0.038,65065.80,ZeroPlusTick,d6b9a5ac,2.4725004e+11,0.038,2472.5004,0", header=f"{TRADE},RPI"
    ).rows
    assert (iso(row.open_time), row.open, row.volume, row.trades) == ("2026-07-24T00:00:00Z", 65065.8, 0.038, 1)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("header", [TRADE, ""])
def test_an_hour_opens_with_its_first_trade_also_where_seconds_tie_and_the_file_runs_backwards(
    backwards: bool, header: str
) -> None:
    """Worked by hand: two trades at the first second and two at the last; one a moment before the hour ends, one as it begins."""
    lines = [
        trade(1655078400, "100", "1", "100"), trade(1655078400, "101", "2", "202"), trade(1655080000.5, "104", "0.1", "10.4"),
        trade(1655081999.9, "99", "1", "99"), trade(1655081999.9, "98", "1", "98"), trade("1655082000", "97", "3", "291"),
    ]  # fmt: skip
    found = bars(bybit(*(lines[::-1] if backwards else lines), header=header))
    assert found == [("00:00", 100, 104, 98, 98, 5.1, 509.4, 5), ("01:00", 97, 97, 97, 97, 3, 291, 1)]


def test_an_odd_line_costs_its_hour_and_one_without_a_time_the_file() -> None:
    good, odd = trade(1655078400, "100", "1"), trade(1655082000, "n/a", "1")
    reading = bybit(good, odd, trade(1655082001, "97", "1"), trade(1655085600, "96", "1"))
    assert [bar[0] for bar in bars(reading)] == ["00:00", "02:00"]
    [flaw] = reading.flaws
    assert (flaw.place, flaw.problem) == ("line 3", "not a number: its hour is left out") and "n/a" in flaw.value
    assert [bar[0] for bar in bars(bybit(good, trade(1655082000, "97", "inf")))] == ["00:00"]
    for line in ("x", trade("", "97", "1"), trade("1655078400123", "97", "1"), "1655078"):
        with pytest.raises(Unreadable, match="line 3 has no time"):
            bybit(good, line)


def test_what_is_no_such_file_is_refused() -> None:
    candles = get_source("bybit_linear_archive").endpoint("candles")
    whole = packed(TRADE, *[trade(1655078400 + n, "100", str(n)) for n in range(500)])
    broken = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    for body in (whole[:-9], whole[: len(whole) // 2], broken, b"no gzip", packed()):
        with pytest.raises(Unreadable):
            read(candles, body)
    with pytest.raises(Unreadable, match="the header has no column price: timestamp, symbol, side, size, cost"):
        bybit(trade(1655078400, "1", "1"), header=TRADE.replace("price", "cost"))
    assert len(bybit().rows) == 0


SIZES = st.decimals("0.001", "100000", places=3).map(str)


@settings(max_examples=25)  # DuckDB is started for each file
@given(st.lists(st.tuples(st.integers(0, 4 * 3600 * 10), SIZES, SIZES), min_size=1), st.booleans())
def test_any_file_of_trades_is_what_the_standard_library_makes_of_it(rows: list[tuple[int, str, str]], backwards: bool) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    lines = [trade(f"{1655078400 + tenths / 10:.1f}", price, size, price) for tenths, price, size in rows]
    hours: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO("\n".join([TRADE, *lines]))):
        hours[int(float(row["timestamp"])) // 3600].append((float(row["price"]), float(row["size"])))
    found = {r.open_time // MS_HOUR: r for r in bybit(*(lines[::-1] if backwards else lines)).rows}
    assert found.keys() == hours.keys()
    for hour, trades in hours.items():
        prices, row = [price for price, _ in trades], found[hour]
        times = [tenths for tenths, *_ in rows if (1655078400 + tenths // 10) // 3600 == hour]
        if not backwards or len(set(times)) > 1:  # of one moment alone nothing tells the file's direction
            assert (row.open, row.close) == (prices[0], prices[-1])
        assert (row.high, row.low, row.trades) == (max(prices), min(prices), len(trades))
        assert row.volume == pytest.approx(fsum(size for _, size in trades), rel=1e-12)


def test_bars_of_a_month_are_those_of_a_clock_three_hours_ahead() -> None:
    """BTCUSDT's file of January 2023 begins with the row that a collector's catalogue shows: it is 21:00 of the year before."""
    rows = [f"2023.01.{1 + hour // 24:02} {hour % 24:02}:00,16581.0,16584.0,16580.5,16584.0,{hour}.627" for hour in range(744)]
    found = bybit(*rows, "2023.02.01 00:00,1,1,1,1,0.1", header="").rows
    assert (iso(found[0].open_time), found[0].volume, found[0].turnover) == ("2022-12-31T21:00:00Z", 0.627, None)
    assert (len(found), iso(found[-1].open_time)) == (744, "2023-01-31T20:00:00Z"), "the next month's first bar is not over"
    reading = bybit(rows[0], "2023.01.01 01:00,odd,1,1,1,1", header="")
    assert len(reading.rows) == 1 and reading.flaws[0].place == "line 2"


def test_months_of_bars_come_first_and_trades_of_the_days_that_these_lack(archive: Served, tmp_path: Path) -> None:
    """May's file ends at 21:00 UTC of its last day. BTCPERP has trades alone, and is listed by the archive alone."""
    archive.fault("missing_file", path_contains="BTCUSDT2025-06-03")
    archive.fault("damaged_file", path_contains="BTCUSDT2025-06-04")
    archive.fault("other_header", path_contains="BTCPERP2025-06-01")
    run, result, paths = fetched("bybit_linear_archive", archive, tmp_path, "2025-05-01", "2025-06-05")
    days = [*(f"05-{day}" for day in range(28, 32)), *(f"06-0{day}" for day in range(1, 6))]
    assert {path.rpartition("/")[2] for path in paths} == {
        "BTCUSDT_60_2025-05-01_2025-05-31.csv.gz",
        *(f"BTCUSDT2025-{day}.csv.gz" for day in ("05-31", "06-01", "06-02", "06-04", "06-05")),
        *(f"BTCPERP2025-{day}.csv.gz" for day in days),
    }
    assert [line for line in result.warnings if "lacks" in line] == [
        "bybit_linear_archive candles: the archive lacks 1 days between others, such as 2025-06-03 of BTCUSDT"
    ]
    [failure], [page] = result.failures, result.quarantined
    assert "BTCUSDT2025-06-04.csv.gz: the file is not what its listing says" in str(failure)
    assert page.problem.startswith("the header has no column timestamp, size, price, foreignNotional: new_timestamp")
    assert [str(day)[5:] for day in result.whole_days(run, "candles")][-4:] == ["05-31", "06-02", "06-03", "06-05"]
    [evening] = [e.window for e in result.entries if e.path_label.endswith("BTCUSDT2025-05-31.csv.gz")]
    assert evening == (to_ms("2025-05-31T21:00"), to_ms("2025-06-01T00:00")), "and no hour is had twice"

    archive.clear_faults()
    again = fetched("bybit_linear_archive", archive, tmp_path, "2025-05-01", "2025-06-05")
    assert {path[-17:-7] for path in again[2]} == {"2025-06-03", "2025-06-04", "2025-06-01"} and not again[1].failures


def test_a_month_of_bars_that_ends_too_early_is_mended_by_trades(archive: Served, tmp_path: Path) -> None:
    """April's 600 bars end on the 25th at 21:00 UTC. May's first hours of UTC+3 are no whole month."""
    paths = fetched("bybit_linear_archive", archive, tmp_path, "2025-04-01", "2025-04-30")[2]
    assert {path[-17:-7] for path in paths if "/BTCUSDT2025" in path} == {f"2025-04-{day}" for day in range(25, 31)}
    assert len([path for path in paths if "_60_" in path]) == 1


# --- OKX --------------------------------------------------------------------------------------------------------------------

MINUTE = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm"


def okx(endpoint: str, *lines: str) -> Reading:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("file.csv", "".join(f"{line}\r\n" for line in lines))
    return read(get_source("okx_archive").endpoint(endpoint), body.getvalue())


def minutes(at: int, count: int = 60, first: int = 0) -> list[str]:
    """Minutes of one hour, the price going up by a dollar each, ten contracts of 0.1 coins each."""
    return [
        f"ETH-USDT-SWAP,{100 + n},{102 + n},{99 + n},{101 + n},10,1,{100 + n},{at + n * 60_000},1" for n in range(first, count)
    ]


def test_an_hour_is_made_of_sixty_minutes_and_of_no_fewer() -> None:
    """Worked by hand. Of rows of one minute the last counts; one that was not over is none; the hour after lacks a minute."""
    at = to_ms("2025-10-22T16:00")
    lines = [*minutes(at), minutes(at)[-1], *minutes(at + MS_HOUR, 59), minutes(at + MS_HOUR)[-1][:-1] + "0"]
    for header in ([MINUTE], []):
        [row] = okx("candles", *header, *lines).rows
        assert (row.symbol, row.open_time, row.open, row.high, row.low, row.close) == ("ETH-USDT-SWAP", at, 100, 161, 99, 160)
        assert (row.vol, row.vol_ccy, row.vol_quote) == (600, 60, sum(range(100, 160)))
    published = "ETH-USDT-SWAP,3839.44,3843.58,3836.71,3838.16,23503.2,2350.32,9024127.30277,1761148800000,1"
    [row] = okx("candles", MINUTE, published, *minutes(1761148800000, 60, 1)).rows
    assert (row.open, row.high) == (3839.44, 3843.58) and row.vol == pytest.approx(23503.2 + 590, rel=1e-12)


def test_funding_as_published_with_a_mark_before_the_header() -> None:
    """SOL-USDT-SWAP-fundingrates-2024-05 begins with the settlement of 16:00 UTC of the day before: UTC+8's month."""
    rows = ["SOL-USDT-SWAP,0.0000647942365645,1714492800000", "SOL-USDT-SWAP,-0.0000340383839361,1714521600000"]
    for header in (["instrument_name,funding_rate,funding_time"], ["\ufeffinstrument_name,funding_rate,funding_time"], []):
        first, second = okx("funding_rates", *header, *rows).rows
        assert (iso(first.funding_time), first.funding_rate) == ("2024-04-30T16:00:00Z", 0.0000647942365645)
        assert (second.symbol, iso(second.funding_time)) == ("SOL-USDT-SWAP", "2024-05-01T00:00:00Z")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("BTC-USDT-SWAP", "BTC"),
        ("BTC-USD-SWAP", "BTC"),
        ("1INCH-USDC-SWAP", "1INCH"),
        ("BTC-USD-250627", None),
        ("BTC-USDT", None),
    ],
)
def test_a_swap_is_known_by_its_name(name: str, base: str | None) -> None:
    source = get_source("okx_archive")
    assert source.parse_instruments
    found = source.parse_instruments(okx("instruments", "instrument_name,funding_rate,funding_time", f"{name},1,1").rows)
    assert [each.base_asset for each in found] == [base] * (base is not None)


def test_a_day_of_utc_lies_in_two_days_of_the_archive() -> None:
    """By hand: UTC+8's 3 May begins at 16:00 UTC of the second; of a quarter, three months and the last day's end are asked.

    Of a file no more is taken than what was asked for.
    """
    candles, rates = (get_source("okx_archive").endpoint(name) for name in ("candles", "funding_rates"))
    swap = Instrument("BTC-USDT-SWAP", "BTC")

    def asked(endpoint: Any, first: str, last: str) -> list[tuple[str, str, str]]:
        window = Window(to_ms(f"{first}T00:00"), to_ms(f"{last}T00:00") + DAY)
        found = [(r.path.rpartition("-SWAP-")[2], r.window) for r in endpoint.plan(swap, window)]
        return [(name.partition("-")[2][:-4], iso(w.start)[5:13], iso(w.end)[5:13]) for name, w in found]

    assert asked(candles, "2024-05-02", "2024-05-02") == [
        ("2024-05-02", "05-02T00", "05-02T16"), ("2024-05-03", "05-02T16", "05-03T00")
    ]  # fmt: skip
    assert asked(candles, "2024-04-01", "2024-06-30") == [
        ("2024-04", "04-01T00", "04-30T16"), ("2024-05", "04-30T16", "05-31T16"), ("2024-06", "05-31T16", "06-30T16"),
        ("2024-07-01", "06-30T16", "07-01T00"),
    ]  # fmt: skip
    assert asked(rates, "2024-05-02", "2024-05-02") == [("2024-05", "05-02T00", "05-03T00")]
    assert asked(candles, "2023-06-29", "2023-06-29") == asked(rates, "2022-02-01", "2022-02-27") == []


def test_files_that_nothing_lists_are_asked_for_by_head(archive: Served, tmp_path: Path) -> None:
    """June's minutes by day, a day late; the day that lacks is named; what was delisted is on the list of the first of June."""
    archive.fault("missing_file", path_contains="BTC-USDT-SWAP-candlesticks-2025-06-04")
    archive.fault("damaged_file", path_contains="BTC-USDC-SWAP-candlesticks-2025-06-03")
    _, result, paths = fetched("okx_archive", archive, tmp_path, "2025-06-02", "2025-06-08")
    names = {path.rpartition("/")[2] for path in paths}
    days = [f"2025-06-{day:02}" for day in range(2, 9)]
    assert names == {
        *(f"allswap-fundingrates-2025-06-0{day}.zip" for day in (1, 6)),
        *(f"BTC-USDC-SWAP-candlesticks-{day}.zip" for day in days),
        *(f"BTC-USDT-SWAP-candlesticks-{day}.zip" for day in days if day != "2025-06-04"),
    }, "of June there is no file of funding yet"
    [line] = [each for each in result.warnings if "lacks" in each]
    assert line.endswith("1 days between others, such as 2025-06-03T16:00:00Z to 2025-06-04T16:00:00Z of BTC-USDT-SWAP")
    [failure] = result.failures
    assert "BTC-USDC-SWAP-candlesticks-2025-06-03.zip: the file is not what its listing says" in str(failure)


def test_a_backfill_asks_rest_for_what_the_archives_days_lack(archive: Served, tmp_path: Path) -> None:
    """By hand: at midnight of 10 June UTC+8's 8 June is the last day there, ending at 16:00 UTC; of June there are no rates."""
    chosen = Settings(home=tmp_path, assets=["BTC"], limits_scale=1e6, venues=["okx"])
    part = Window(to_ms("2025-05-01T00:00"), NOW)
    run = Run.begin(chosen, part, Clock(NOW), EmulatorInfo(archive.url, "synthetic; seed=7"))
    planned: dict[tuple[str, str], Planned] = {}
    results = asyncio.run(plan_part(run, [get_source(name) for name in with_archives(chosen).sources], part, planned))
    assert not [result.failures for result in results if result.failures]
    files, bars = planned["okx_archive", "candles"], planned["okx", "candles"]
    assert (files.requests, len(files.instruments), iso(files.last)[:13]) == (1 + 8 + 1 + 8, 2, "2025-06-08T16")
    assert files.size > 10_000 and (iso(bars.first)[:13], iso(bars.last)[:13]) == ("2025-06-08T16", "2025-06-10T00")
    assert iso(planned["okx", "funding_rates"].first)[:13] == "2025-05-31T16"


# --- Gate -------------------------------------------------------------------------------------------------------------------


def gate(endpoint: str, *lines: str) -> Reading:
    return read(get_source("gate_archive").endpoint(endpoint), packed(*lines))


def test_bars_open_with_their_last_column_and_times_are_seconds() -> None:
    """Of BTC_USDT-202601, as a public catalogue of the archive shows it; a last line that is cut costs that line."""
    reading = gate("candles", "1767225600,151037,87617.9,87621.6,87598.1,87617.7", "1767229200,1,2,3,1,1.5", "17672328")
    first, second = reading.rows
    assert (iso(first.open_time), first.open, first.high, first.low, first.close, first.volume) == (
        "2026-01-01T00:00:00Z", 87617.7, 87621.6, 87598.1, 87617.9, 151037
    )  # fmt: skip
    assert (iso(second.open_time), second.open, second.close) == ("2026-01-01T01:00:00Z", 1.5, 2)
    assert len(reading.flaws) == 1
    [row] = gate("funding_rates", "1767225600,0.0001").rows
    assert (iso(row.time), row.rate) == ("2026-01-01T00:00:00Z", 0.0001)
    with pytest.raises(Unreadable, match="no line can be read"):  # a spot file under a future's name, as of 2021-07
        gate("candles", "1627775982,1,2,3,1")
    with pytest.raises(Unreadable):
        read(get_source("gate_archive").endpoint("candles"), b"")


def test_a_contracts_life_is_from_its_earliest_stamp_to_its_end() -> None:
    source = get_source("gate_archive")
    rows = [
        {"name": "BTC_USDT", "type": "direct", "launch_time": 1606780800, "create_time": 1574035200, "delisted_time": 0},
        {"name": "LUNA_USDT", "type": "direct", "create_time": 1600000000, "delisted_time": 1652400000, "status": "delisted"},
        {"name": "BTC_USD", "type": "inverse"},
    ]  # fmt: skip
    reading = read(source.endpoint("instruments"), json.dumps(rows).encode())
    assert source.parse_instruments
    bitcoin, luna = source.parse_instruments(reading.content)
    assert (bitcoin.listed_at, bitcoin.delisted_at) == (1574035200000, None)
    assert (luna.base_asset, luna.listed_at, luna.delisted_at) == ("LUNA", 1600000000000, 1652400000000)


def test_lists_and_files_are_at_two_hosts_and_at_no_third(tmp_path: Path) -> None:
    source = get_source("gate_archive")
    limiter = Limiter(File(tmp_path / "limits.sqlite"), "gate", source.limits, 1.0)
    client, elsewhere = (Client(source, url, limiter, Clock(NOW)) for url in (source.base_url, "http://127.0.0.1:9/gate"))
    assert (client.files_url, elsewhere.files_url) == ("https://download.gatedata.org", "http://127.0.0.1:9/gate")
    for url in ("https://api.gateio.ws/api", "https://download.gatedata.org/futures_usdt"):
        client._refuse_elsewhere(URL(url), url)
    for url in ("http://download.gatedata.org/", "https://example.org/"):
        with pytest.raises(Rejected, match="another host"):
            client._refuse_elsewhere(URL(url), url)


def test_months_are_asked_for_within_a_contracts_life(archive: Served, tmp_path: Path) -> None:
    archive.fault("missing_file", path_contains="candlesticks_1h/202504/BTC_USDT")
    _, result, paths = fetched("gate_archive", archive, tmp_path, "2025-03-05", "2025-06-09")
    names = sorted(path.rpartition("gate_archive/")[2] for path in paths)
    months = ("202503", "202504", "202505")
    assert [name for name in names if "candle" in name] == sorted(
        f"futures_usdt/candlesticks_1h/{month}/{name}-{month}.csv.gz"
        for month in months
        for name in ("BTC_USDT", "XBT_USDT")
        if (month, name) != ("202504", "BTC_USDT")
    )
    assert len([name for name in names if "funding" in name]) == 2 * len(months)
    assert min(e.window for e in result.entries if e.window)[0] == to_ms("2025-03-05T00:00"), (
        "and no bar before the window is taken"
    )
    assert not result.failures and "lacks 30 days between others, such as 2025-04-01 of BTC_USDT" in str(result.warnings)


# --- BitMEX -----------------------------------------------------------------------------------------------------------------


def test_perpetuals_are_taken_out_of_all_instruments_of_a_day() -> None:
    """The row of XBTUSD is one of 2018, its notionals as the stream of that time had them; the time is that of a file's rows."""
    lines = [
        "2018-08-19D06:44:39.347000000,.BXBT,Buy,0,6380,PlusTick,x,,,",
        "2018-08-19D06:44:39.347000000,XBTUSD,Sell,10000,6379,ZeroMinusTick,4a5313f5,156760000,1.5676,10000",
        "2018-08-19D06:44:39.347001000,XBTUSD,Buy,100,6380,PlusTick,x,1,0.5,100",
        "2018-08-19D06:50:00.000000000,XBTU18,Buy,100,1,PlusTick,x,1,1,100",
        "2018-08-19D07:00:00.000000000,ETHUSD,Buy,100,300,PlusTick,x,1,2,600",
        "2018-08-19D07:00:00.000000000,XBT_USDT,Buy,100,1,PlusTick,x,1,1,100",
    ]
    found = read(get_source("bitmex_archive").endpoint("candles"), packed(TRADE, *lines)).rows
    values = [(r.symbol, iso(r.open_time)[8:13], r.open, r.close, r.home_notional, r.foreign_notional, r.trades) for r in found]
    assert values == [
        ("XBTUSD", "19T06", 6379, 6380, 2.0676, 10100, 2), ("ETHUSD", "19T07", 300, 300, 2, 600, 1)
    ]  # fmt: skip


def test_a_day_is_one_file_of_all_and_a_closed_venues_archive_is_asked(archive: Served, tmp_path: Path) -> None:
    archive.fault("missing_file", path_contains="20250606")
    run, result, paths = fetched("bitmex_archive", archive, tmp_path, "2025-06-05", "2025-06-07")
    assert sorted(path.rpartition("/")[2] for path in paths) == ["20250605.csv.gz", "20250607.csv.gz"]
    [line] = result.warnings
    assert line.endswith("candles: the archive lacks 1 days between others, such as 2025-06-06")
    rows = read(get_source("bitmex_archive").endpoint("candles"), run.landing.body(result.entries[0])).rows
    assert {row.symbol for row in rows} == {"XBTUSD", "ETHUSD", "SOLUSD", "XRPUSD"} and len(rows) == 4 * 24
    live = replace(
        run, emulator=None, settings=run.settings.model_copy(update={"mode": "live", "venues": ["bitmex", "bitmex_archive"]})
    )
    chosen, [note] = live.chosen_sources()
    assert [source.name for source in chosen] == ["bitmex_archive"] and note.startswith("bitmex is not fetched")


def zipped(*files: bytes) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(files):
            archive.writestr(f"../{number}.csv", content)
    return buffer.getvalue()


BAR = b"1704067200000,1,2,0.5,1.5,10,1704070799999,15,3,5,7.5,0\n"


@pytest.mark.parametrize(
    ("source", "body", "says"),
    [
        ("binance_usdm_archive", lambda: zipped(BAR, BAR), "the zip has 2 files, and one is needed"),
        ("binance_usdm_archive", lambda: zipped(), "the zip has 0 files, and one is needed"),
        ("binance_usdm_archive", lambda: zipped(65_000_000 * b"0"), "the file is longer than 64 MB"),
        ("binance_usdm_archive", lambda: zipped(50_000 * b"a," + b"\n" + BAR), "its first line has 100,000 bytes"),
        ("binance_usdm_archive", lambda: zipped(300_000 * BAR + b"x\n"), "a line can't be read, and the file has 17 MB"),
        ("binance_usdm_archive", lambda: zipped(BAR + b'1704070800000,"1' + 999 * b",2\n"), None),  # a quote that never ends
        (
            "bybit_linear_archive",
            lambda: gzip.compress(70_000_000 * b"\n", 1),
            "the file is longer than 64 MB, and was packed into",
        ),
    ],
    ids=["two", "none", "long", "header", "lines", "quote", "bomb"],
)
def test_a_file_that_would_fill_memory_or_disk_is_refused(source: str, body: Any, says: str | None) -> None:
    endpoint = get_source(source).endpoint("candles")
    if says is None:
        found = read(endpoint, body())
        assert len(found.rows) == 1 and found.flaws
    else:
        with pytest.raises(Unreadable, match=says):
            read(endpoint, body())


@pytest.mark.parametrize("marker", ["data/", ""], ids=["the same", "always another"])
def test_a_list_of_files_that_does_not_end_is_refused(marker: str) -> None:
    asked: list[str] = []

    class Listed:
        source = get_source("binance_usdm_archive")

        async def fetch_page(self, request: Any, endpoint: Any) -> Any:
            asked.append(request.params["marker"])
            following = marker or f"data/BTCUSDT-2025-06-0{len(asked):06}"
            body = f"<L><IsTruncated>true</IsTruncated><NextMarker>{following}</NextMarker></L>"
            return SimpleNamespace(problem="", content=read(endpoint, body.encode()).content)

    files = Files(daily="data/{symbol}-{at:%Y-%m-%d}.zip")
    day = Window(NOW // DAY * DAY - DAY, NOW // DAY * DAY)
    with pytest.raises(Transient, match="the list doesn't end: after"):
        asyncio.run(files.listed(Listed(), Instrument("BTCUSDT", "BTC"), day))  # type: ignore[arg-type]
    assert len(asked) <= 1000
