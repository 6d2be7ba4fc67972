"""Hyperliquid's archive of asset contexts (s3://hyperliquid-archive): the only history of its open interest.

Facts: the venue page of Hyperliquid, "S3 archives". One LZ4-framed CSV a day, a row per coin and minute, UTC, in a bucket whose
reader pays: it needs AWS credentials and is off without them. The raw table has the first row of each hour, the landed file all.
Alone: `perps fetch --venues hyperliquid --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv

from pipelines.records import MaybeNumber, Record, UtcMs
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import DAY, Window, to_datetime

NUMBERS = ("funding", "open_interest", "premium", "oracle_px", "mark_px", "mid_px")
COLUMNS = ("coin", "time", *NUMBERS)
#: The longest file that is read, in bytes after decompression: a day of 200 coins has about 30 MB.
MOST_BYTES = 128_000_000
#: The first row of each coin and hour of those that can be read, and all others.
PICK = f"""
select {", ".join(COLUMNS)} from (
    select *, isfinite(try_cast(time as timestamp)) and coin is not null and {
    " and ".join(f"({name} = '' or isfinite(try_cast({name} as double)))" for name in NUMBERS)
} as is_good
    from (select * replace (if(contains(coin, chr(65533)), null, coin) as coin) from lines)  -- no name: bytes that are no UTF-8
)
qualify is_good is not true or row_number() over (partition by is_good, coin, time[:13] order by time) = 1
order by time, coin"""


class AssetContext(Record):
    coin: str
    time: UtcMs
    funding: MaybeNumber
    open_interest: MaybeNumber
    premium: MaybeNumber
    oracle_px: MaybeNumber
    mark_px: MaybeNumber
    mid_px: MaybeNumber


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """A database in memory, which takes as long to open as a small file to read."""
    return duckdb.connect()


def decode(body: bytes) -> list[Any]:
    """The rows of the CSV as objects of text; a line with another number of fields is its text.

    Raises `pa.ArrowException`, and `ValueError` for a file that is too long.
    """
    odd: list[str] = []

    def set_aside(line: pa.csv.InvalidRow) -> str:
        odd.append(line.text)
        return "skip"

    with _database().cursor() as connection:
        plain = pa.CompressedInputStream(pa.BufferReader(body), "lz4").read(MOST_BYTES + 1)
        if len(plain) > MOST_BYTES:
            raise ValueError(f"the file is longer than {MOST_BYTES / 1e6:g} MB")
        lines = pa.csv.read_csv(  # noqa: F841, DuckDB finds it by its name
            pa.BufferReader(plain.decode(errors="replace").encode()),
            parse_options=pa.csv.ParseOptions(invalid_row_handler=set_aside),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), include_columns=COLUMNS),
        )
        return [*connection.sql(PICK).to_arrow_table().to_pylist(), *odd]


def _files(instrument: Instrument, window: Window) -> Iterable[Request]:
    for day in window.chunks(DAY):
        yield Request(f"/asset_ctxs/{to_datetime(day.start):%Y%m%d}.csv.lz4", window=day, weights={"requests": 1})


SOURCE = Source(
    name="hyperliquid_archive",
    venue="hyperliquid",
    base_url="s3://hyperliquid-archive",
    limits={"requests": Limit(100, 1)},
    host="s3",
    endpoints=(
        Endpoint(
            "asset_ctxs",
            AssetContext,
            key=("coin", "time"),
            time="time",
            plan=_files,
            decode=decode,
            bulk=True,
        ),
    ),
)
