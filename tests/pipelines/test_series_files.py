"""A user's folder in any sensible spelling is the same series; what can't be read is refused in one line with its place."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipelines.series_files import Series, SeriesError, read_series
from pipelines.spellings import coin_name, decimal_mark, floats, venue_name

T0 = int(datetime(2025, 10, 10, 20, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000
LINES = ["2025-10-10T20:00:00Z,binance,BTC,1.5,2.5,1.0,2.0", "2025-10-10T21:00:00Z,binance,BTC,2.0,3.5,1.0,3.0"]
HEADER = "timestamp,venue,coin,open,high,low,close"
CSV = "\n".join([HEADER, *LINES]) + "\n"
GOOD = pd.DataFrame(
    {"timestamp": [T0, T0 + HOUR], "venue": "binance", "coin": "BTC", "open": [1.5, 2.0], "high": [2.5, 3.5], "low": 1.0,
     "close": [2.0, 3.0]}
)  # fmt: skip


def parquet(frame: pd.DataFrame) -> bytes:
    frame.to_parquet(buffer := BytesIO(), index=False)
    return buffer.getvalue()


def read(folder: Path, **files: bytes | str) -> Series:
    """The series of a folder with these files; `__` in a name is its dot."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_series(folder)


def assert_good(series: Series) -> None:
    table = series.tables["candles_1h"]
    assert table["timestamp"].to_pylist() == [T0, T0 + HOUR]
    assert set(table["venue"].to_pylist()) == {"binance"} and set(table["coin"].to_pylist()) == {"BTC"}
    assert table["close"].to_pylist() == [2.0, 3.0] and table["high"].to_pylist() == [2.5, 3.5]
    assert series.notes == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("candles_1h.csv", CSV.encode()),
        ("Candles-1h.CSV", CSV.encode()),
        ("candles.csv", CSV.encode()),
        ("candles_1h.tsv", CSV.replace(",", "\t").encode()),
        ("candles_1h.csv", CSV.replace(",", ";").replace(".", ",").encode()),
        ("candles_1h.csv", CSV.replace(",", "|").encode()),
        ("candles_1h.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        ("candles_1h.csv", CSV.encode("utf-16")),
        ("candles_1h.csv.gz", gzip.compress(CSV.encode())),
        ("candles_1h.csv.zst", zstandard.compress(CSV.encode())),
        ("candles_1h.csv", "\n".join(",".join(f'"{v}"' for v in line.split(",")) for line in CSV.splitlines()).encode()),
        ("candles_1h.csv", "\n".join(f"{i - 1 if i else ''},{line}" for i, line in enumerate(CSV.splitlines())).encode()),
        ("candles_1h.csv", CSV.replace("timestamp", "").encode()),
        ("candles_1h.csv", "\n".join(f"{line}," for line in CSV.splitlines()).encode()),
        ("candles_1h.csv", CSV.replace(HEADER, "Time,Exchange,Symbol,Open,High,Low,Close").encode()),
        ("candles_1h.csv", CSV.replace(HEADER, "openTime,exchange_name,Base Asset,o,h,l,c").encode()),
        ("hourly_candles.csv", CSV.replace(HEADER, "“Date (UTC)”,Exchange,pair,Open Price,high,low,close").encode()),
        ("candles_1h.csv", CSV.replace(",", "^").encode()),
        ("candles_1h.csv", CSV.encode("utf-16-le")),
        ("candles_1h.csv", CSV.encode("utf-32")),
        ("candles_1h.csv", gzip.compress(CSV.encode())),
        ("candles_1h.csv.gz", CSV.encode()),
        ("candles_1h.csv", parquet(GOOD)),
        ("candles_1h.json", GOOD.to_json(orient="records").encode()),
        ("candles_1h.json", b"\xef\xbb\xbf" + GOOD.astype(str).to_json(orient="records", indent=1).encode()),
        ("candles_1h.jsonl.gz", gzip.compress(GOOD.to_json(orient="records", lines=True).encode())),
    ],
)  # fmt: skip
def test_a_csv_of_any_dialect_is_the_same(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert_good(read_series(tmp_path))


@pytest.mark.parametrize(
    "stamp",
    [
        "{ms}", "{s}", "{s}.0", "{ms}000", "{ms}000000", "{iso}", "{iso}Z", "{space}", "{space}.000", "{space} UTC",
        "{space}+00:00", "2025-10-11T{next}:00:00+08:00", "2025-10-10 {berlin}:00 Europe/Berlin", "10.10.2025 {hour}:00",
        "2025/10/10 {hour}:00", "20251010T{hour}0000Z", "Oct 10, 2025 {hour}:00", "2025-10-10 {pm}:00 PM",
        "Fri, 10 Oct 2025 {hour}:00:00 GMT", "Fri, 10 Oct 2025 {hour}:00:00 -0000", "10-Oct-25 {hour}:00", "{hour}:00 10.10.2025",
        "2025-10-10 0{pm}-PM", "20251010{hour}", "20251010{hour}0000", "2025-10-10-{hour}", "{serial}", "'{space}", "{commas}",
        "{iso}.000+0000 UTC", "2025-10-10 {berlin}:00:00 GMT+2", "{space}\u221200:00",
        "2025-10-10T{berlin}:00:00+02:00[Europe/Berlin]",
    ],
)  # fmt: skip
def test_time_in_any_spelling_is_the_same_instant(tmp_path: Path, stamp: str) -> None:
    text = CSV
    for hour in (20, 21):
        ms = T0 + (hour - 20) * HOUR
        spelt = stamp.format(
            ms=ms, s=ms // 1000, hour=hour, next=f"{hour - 16:02d}", berlin=hour + 2, pm=hour - 12,
            serial=repr(45_940 + hour / 24), commas=f"{ms:,}", iso=f"2025-10-10T{hour}:00:00", space=f"2025-10-10 {hour}:00:00",
        )  # fmt: skip
        text = text.replace(f"2025-10-10T{hour}:00:00Z", f'"{spelt}"')
    assert_good(read(tmp_path, candles_1h__csv=text))


@pytest.mark.parametrize("stamps", [
    pd.to_datetime(GOOD["timestamp"], unit="ms"),
    pd.to_datetime(GOOD["timestamp"], unit="ms", utc=True).dt.tz_convert("Asia/Shanghai"),
    GOOD["timestamp"] // 1000, GOOD["timestamp"].astype(float), GOOD["timestamp"].astype(str),
])  # fmt: skip
def test_parquet_with_any_type_of_time(tmp_path: Path, stamps: pd.Series) -> None:
    GOOD.assign(timestamp=stamps).to_parquet(tmp_path / "candles_1h.PARQUET", index=False)
    assert_good(read_series(tmp_path))


def test_an_index_of_pandas_is_the_time_or_nothing(tmp_path: Path) -> None:
    stamps = pd.to_datetime(GOOD["timestamp"], unit="ms", utc=True)
    GOOD[GOOD["open"] > 0].to_parquet(tmp_path / "candles_1h.parquet")  # an index of row numbers
    assert_good(read_series(tmp_path))
    GOOD.drop(columns="timestamp").set_index(pd.DatetimeIndex(stamps)).rename_axis(None).to_parquet(
        tmp_path / "candles_1h.parquet"
    )
    assert_good(read_series(tmp_path))


def test_decimals_and_mixed_precision_are_no_breach(tmp_path: Path) -> None:
    """0.1 + an ulp: a decimal and a float of one number, or a float of 32 bits, must not put the high below the close."""
    price = "117432.123456789012345678"
    columns = {name: pa.array([Decimal(price)], pa.decimal128(38, 18)) for name in ("open", "high", "low")}
    table = pa.table({"timestamp": [T0], "venue": ["binance"], "coin": ["BTC"], **columns, "close": pa.array([float(price)])})
    pq.write_table(table, tmp_path / "candles_1h.parquet")
    assert read_series(tmp_path).tables["candles_1h"]["high"].to_pylist() == [float(price)]
    pq.write_table(table.set_column(4, "high", pa.array(np.array([price], np.float32))), tmp_path / "candles_1h.parquet")
    assert read_series(tmp_path).tables["candles_1h"]["high"].to_pylist()[0] >= float(price)


@pytest.mark.parametrize(
    ("texts", "mark", "numbers"),
    [
        (["1,5", "117000,25"], ",", [1.5, 117000.25]),
        (["1,234.5", "1,234,567"], ".", [1234.5, 1234567.0]),
        (["1.234,5", "1.234.567"], ",", [1234.5, 1234567.0]),
        (["0,123", "1,234"], ",", [0.123, 1.234]),
        (["0.5", "1,234"], ".", [0.5, 1234.0]),
        (["117\u00a0000.5", "117 000", "117'000", "117_000"], ".", [117000.5, 117000.0, 117000.0, 117000.0]),
        (["1.234", "2.5"], ".", [1.234, 2.5]),
        (["1e-7", "+2E3", "\u22123", "'4", "#N/A", "\\N", ""], ".", [1e-7, 2000.0, -3.0, 4.0, None, None, None]),
        (["1,17,000.5", "0x10", ".", "1 2", "1,5", "$3"], ".", [False] * 6),
    ],
)  # fmt: skip
def test_numbers_of_a_file_have_one_decimal_mark(texts: list[str], mark: str, numbers: list[float | None]) -> None:
    assert decimal_mark(texts) == (mark, "")
    assert floats(texts, mark) == numbers


def test_a_comma_that_may_stand_before_decimals_or_thousands_is_refused(tmp_path: Path) -> None:
    rows = ['1760126400,binance,BTC,"117,000","118,000","116,000","117,500"', ""]
    with pytest.raises(SeriesError, match=r"candles_1h.csv, line 2: column open: '117,000' may have decimals or thousands"):
        read(tmp_path, candles_1h__csv="\n".join([HEADER, *rows]))


@pytest.mark.parametrize("coin", ["00", "007", "1E5", "TRUE", "0X1F", "NA", "NULL", "NAN", "4", "币安人生"])
def test_a_coin_is_a_name_whatever_it_looks_like(tmp_path: Path, coin: str) -> None:
    series = read(tmp_path, candles_1h__csv=CSV.replace("BTC", coin))
    assert set(series.tables["candles_1h"]["coin"].to_pylist()) == {coin}


@pytest.mark.parametrize(
    ("text", "coin"),
    [
        *((spelling, "BTC") for spelling in (
            "BTC", "btc", " Btc ", "BTCUSDT", "btcusdt", "BTC-USDT", "BTC/USDT", "BTC/USDT:USDT", "BTC_USDT", "BTC-PERP",
            "BTC-USDT-SWAP", "BTC-USD-PERP", "BTC-PERPETUAL", "BTCUSD", "BTCUSDC", "BTCUSDTPERP", "XBTUSDTM", "XBTUSD",
            "PF_XBTUSD", "XBT", "BINANCE:BTCUSDT.P", "BTCFDUSD", "btc_usdt_swap", "BTC_USDT_Perp", "PERP_BTC_USDT",
            "BTC-PERP-INTX",
        )),
        ("1000PEPEUSDT", "1000PEPE"), ("1000PEPE", "1000PEPE"), ("kPEPE", "kPEPE"), ("kpepe", "kPEPE"), ("kPEPE-PERP", "kPEPE"),
        ("1MBABYDOGE", "1MBABYDOGE"), ("10000000AIDOGE", "10000000AIDOGE"), ("SHIB1000USDT", "SHIB1000"), ("1INCH", "1INCH"),
        ("SUSDT", "S"), ("TUSDT", "T"), ("TUSD", "TUSD"), ("TUSDUSDT", "TUSD"), ("FDUSDUSDT", "FDUSD"), ("FDUSD", "FDUSD"),
        ("BTC-USDT-261225", "BTC-USDT-261225"), ("KPEPE", "kPEPE"), ("PERP_USDT", "PERP"),
        ("USDCUSDT", "USDC"), ("USDC", "USDC"), ("PERP", "PERP"), ("PERPUSDT", "PERP"), ("kaito", "KAITO"), ("AUSDT", "A"),
    ],
)  # fmt: skip
def test_a_coin_in_any_spelling(text: str, coin: str) -> None:
    assert coin_name(text) == coin


@pytest.mark.parametrize(
    ("text", "venue"),
    [
        *((spelling, "binance") for spelling in ("Binance", "BINANCE", "binance_usdm", "binance-futures", "binanceusdm")),
        ("Bybit Linear", "bybit"), ("HyperLiquid", "hyperliquid"), ("HL", "hyperliquid"), ("krakenfutures", "kraken"),
        ("Kraken Futures", "kraken"), ("Bybit Derivatives", "bybit"),
        ("binanceus", "binanceus"), ("OKX", "okx"), ("MyDesk", "mydesk"),
    ],
)  # fmt: skip
def test_a_venue_in_any_spelling(text: str, venue: str) -> None:
    assert venue_name(text) == venue


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    series = read(
        tmp_path,
        candles_1h__csv=CSV + CSV.replace("binance", "okx").partition("\n")[2],
        funding_rates__csv="timestamp,venue,coin,funding_rate\n",
        trades__csv="a,b\n1,2\n",
        candles_1h__xlsx=b"PK",
        README__md="# what this is",
    )
    assert_good(Series(series.tables))
    assert [note.partition(" is left out:")[0] for note in series.notes] == [
        "candles_1h.csv: 2 rows of okx are left out: a recording serves binance, bybit, hyperliquid, kraken",
        "candles_1h.xlsx",
        "funding_rates.csv has no rows and is left out",
        "trades.csv",
    ]


def test_liquidations_above_their_total_are_set_apart(tmp_path: Path) -> None:
    rows = ["timestamp,venue,coin,total_usd,long_usd,short_usd", "2025-03-10,kraken,BTC,5,2,2", "2025-03-10,kraken,ETH,50,40,20"]
    series = read(tmp_path, liquidations_1d__csv="\n".join([*rows, "2025-03-11,kraken,ETH,50,40,5"]))
    assert series.tables["liquidations_1d"]["coin"].to_pylist() == ["BTC"]
    note, unused = series.notes
    assert unused.startswith("liquidations_1d.csv: 1 daily totals are not loaded")
    assert "consistency: kraken ETH is left out (2 rows)" in note and "on 1 days, first 2025-03-10 (60 of 50)" in note


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3.0", "much", "candles_1h.csv, line 3: column close: 'much' is no number; write digits"),
        ("3.0", '"1.234,5"', "line 3: column close: '1.234,5' is no number"),
        ("3.0", "1e999", "line 3: column close: '1e999' is infinite"),
        ("2025-10-10T21:00:00Z", "9" * 40, f"line 3: timestamp '{'9' * 40}' can't be read"),
        ("2025-10-10T21:00:00Z", "1e400", "line 3: timestamp '1e400' can't be read"),
        ("2025-10-10T21:00:00Z", "2025-10-10 16:00 EST", "line 3: timestamp '2025-10-10 16:00 EST' can't be read"),
        ("2025-10-10T21:00:00Z", "10/11/12 21:00", "line 3: timestamp '10/11/12 21:00' can't be read"),
        ("3.0", "5%", "line 3: column close: '5%' is no number"),
        ("3.0", "", "line 3: column close is empty; give the value"),
        ("3.0", "inf", "line 3: column close: 'inf' is infinite"),
        ("3.5", "2.9", "line 3: high is below the bar's open, low or close"),
        ("1.5,2.5,1.0", "1.5,2.5,-1.0", "line 2: column low: '-1.0' is not above zero"),
        (
            "10T21:00:00Z",
            "10T21:30:00Z",
            "line 3: timestamp '2025-10-10T21:30:00Z' is off the grid; a stamp is the start of its bar",
        ),
        ("2025-10-10T21:00:00Z", "yesterday", "line 3: timestamp 'yesterday' can't be read; write it as 2025-10-10T20:00:00Z"),
        ("2025-10-10T21:00:00Z", "10/11/2025 21:00", "line 3: timestamp '10/11/2025 21:00' can't be read"),
        ("2025-10-10T21:00:00Z", "1760", "line 3: timestamp '1760' lies before 2014"),
        (
            "2025-10-10T21:00:00Z",
            "2039-10-10T21:00Z",
            "line 3: timestamp '2039-10-10T21:00Z' lies before 2014 or in the future",
        ),
        (
            "2025-10-10T21:00:00Z",
            "2025-10-26 02:00 Europe/Berlin",
            "line 3: timestamp '2025-10-26 02:00 Europe/Berlin' can't be read",
        ),
        ("T21", "T20", "line 3: binance BTC at 2025-10-10T20:00:00Z stands there already (line 2); keep one row"),
        (",BTC,2.0", ",,2.0", "line 3: column coin is empty; each row needs a coin"),
        ("binance,BTC,2.0", "binance,BTCUSDT,2.0", ""),
        ("low,close", "low,closing", "candles_1h.csv: unknown column 'closing'; its columns are timestamp, venue, coin, open"),
        ("low,close", "close,close", "candles_1h.csv: column 'close' stands there twice; keep one of them"),
        (",3.5,1.0,3.0", "", "candles_1h.csv, line 3: 4 values under 7 columns; mend the line"),
        (HEADER + "\n", "", "candles_1h.csv: unknown column '2025-10-10T20:00:00Z'"),
        (CSV, "", "candles_1h.csv: is empty; a header"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CSV
    if not message:
        assert_good(read(tmp_path, candles_1h__csv=CSV.replace(old, new)))
        return
    with pytest.raises(SeriesError) as error:
        read(tmp_path, candles_1h__csv=CSV.replace(old, new))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_series_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="there is no such folder"):
        read_series(tmp_path / "none")
    with pytest.raises(SeriesError, match="holds no series: it is empty"):
        read_series(tmp_path)
    with pytest.raises(SeriesError, match=r"notes.csv is left out: a series is"):
        read(tmp_path, notes__csv="a,b\n1,2\n")
    with pytest.raises(SeriesError, match=r"candles_1h.parquet: is no readable Parquet file"):
        read(tmp_path, candles_1h__parquet=b"no")
    for content, message in {
        '[{"close":1,"close":2}]': "can't be read as JSON",
        GOOD.to_json(): "column 'timestamp' holds struct",
        "[]": "no list of objects",
        "PK\x03\x04": "is a workbook or an archive",
    }.items():
        with pytest.raises(SeriesError, match=f"candles_1h.json: .*{message}") as refused:
            read(tmp_path, candles_1h__json=content)
        assert "\n" not in str(refused.value)
    (tmp_path / "candles_1h.json").unlink()
    (tmp_path / "candles_1h.csv.gz").write_bytes(gzip.compress(CSV.encode() * 1000)[:-200])
    with pytest.raises(SeriesError, match=r"candles_1h.csv.gz"):
        read_series(tmp_path)
    (tmp_path / "candles_1h.csv.gz").unlink()
    with pytest.raises(SeriesError, match=r"candles.csv and candles_1h.parquet are both candles_1h: keep one of them"):
        GOOD.to_parquet(tmp_path / "candles_1h.parquet", index=False)
        read(tmp_path, candles__csv=CSV)
    with pytest.raises(SeriesError, match="is a file, name its folder"):
        read_series(tmp_path / "candles.csv")
    (tmp_path / "candles.csv").write_bytes(CSV.replace("BTC", "é").encode("latin1"))
    (tmp_path / "candles_1h.parquet").unlink()
    with pytest.raises(SeriesError, match=r"candles.csv, line 2: can't be read as CSV \(not in UTF-8") as error:
        read_series(tmp_path)
    assert "\n" not in str(error.value) and "/tmp" not in str(error.value)


def test_open_interest_needs_one_of_its_two_columns(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="one of the columns oi_usd and oi_base"):
        read(tmp_path, open_interest__csv="timestamp,venue,coin\n2025-10-10,kraken,BTC\n")
    with pytest.raises(SeriesError, match=r"open_interest.csv, line 3: oi_usd and oi_base are empty; give one of them"):
        read(tmp_path, open_interest__csv="timestamp,venue,coin,oi_usd\n2025-10-10,kraken,BTC,1\n2025-10-11,kraken,BTC,\n")


@pytest.mark.parametrize("name", ["plain", "with space", "o'brien", "50% off", "a#b?c", "ü币", "[x]*", "semi;colon"])
def test_any_name_of_a_folder(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / name).mkdir()
    assert_good(read(folder, candles_1h__csv=CSV))
    (tmp_path / "link").symlink_to(folder)
    assert_good(read_series(tmp_path / "link"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("candles_1h.csv.gz", gzip.compress(CSV.encode())[:-6], "can't be unpacked (Compressed file ended before"),
        ("candles_1h.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-8] + 8 * b"x", "can't be unpacked (CRC check failed"),
        ("candles_1h.csv.zst", zstandard.compress(1000 * CSV.encode())[:-6], "can't be unpacked ("),
        ("candles_1h.json", 100_000 * b"[", "can't be read as JSON (values within values)"),
        ("candles_1h.json", b'[{"timestamp": ' + 50_000 * b'{"a": ' + b"1" + 50_000 * b"}" + b"}]", "(values within values)"),
        ("candles_1h.csv", f"{HEADER}\n{200_000 * '9'}\n".encode(), "candles_1h.csv"),
    ],
    ids=["cut gzip", "damaged gzip", "cut zstd", "deep lists", "deep objects", "long value"],
)
def test_a_file_that_is_cut_or_has_no_end_is_refused_in_one_line(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SeriesError) as refused:
        read_series(tmp_path)
    assert says in str(refused.value) and str(refused.value).count("\n") == 0


def test_a_packed_text_may_be_of_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "candles_1h.csv.gz").write_bytes(gzip.compress(CSV.encode("utf-16")))
    assert_good(read_series(tmp_path))
