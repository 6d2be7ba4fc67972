"""Hyperliquid's archive of asset contexts (s3://hyperliquid-archive): the only history of its open interest.

Facts: the venue page of Hyperliquid, "S3 archives". One LZ4-framed CSV a day, a row per coin and minute, UTC, in a bucket whose
reader pays: it needs AWS credentials and is off without them. The raw table has the first row of each hour, the landed file all.
Alone: `perps fetch --venues hyperliquid --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipelines.records import Ms, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import DAY, Window

_FLOATS = ("funding", "open_interest", "premium", "oracle_px", "mark_px", "mid_px")
_TYPES = {"time": pa.timestamp("ms", "UTC"), "coin": pa.string(), **dict.fromkeys(_FLOATS, pa.float64())}


class AssetContext(Record):
    coin: str
    time: Ms
    funding: Number | None
    open_interest: Number | None
    premium: Number | None
    oracle_px: Number | None
    mark_px: Number | None
    mid_px: Number | None


def decode(body: bytes) -> pa.Table:
    """The CSV as a table of the columns that we read. Raises `msgspec.ValidationError` for what can't be read."""
    try:
        plain = pa.CompressedInputStream(pa.BufferReader(body), "lz4").read()
        options = pa.csv.ConvertOptions(column_types=_TYPES, include_columns=list(_TYPES))
        return pa.csv.read_csv(pa.BufferReader(plain), convert_options=options)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as problem:
        raise msgspec.ValidationError(str(problem)) from problem


def first_of_each_hour(table: pa.Table) -> list[AssetContext]:
    """One row per coin and hour: the earliest within it."""
    table = table.append_column("hour", pc.floor_temporal(table["time"], unit="hour"))
    firsts = table.group_by(["coin", "hour"]).aggregate([("time", "min")])
    kept = firsts.join(table, ["coin", "hour"]).filter(pc.field("time") == pc.field("time_min"))
    kept = kept.append_column("ms", pc.cast(kept["time"], pa.int64()))
    columns = [kept[name].to_pylist() for name in ("coin", "ms", *_FLOATS)]
    return [AssetContext(*values) for values in zip(*columns, strict=True)]


def _files(instrument: Instrument, window: Window) -> Iterable[Request]:
    for day in window.chunks(DAY):
        name = datetime.fromtimestamp(day.start / 1000, UTC).strftime("%Y%m%d")
        yield Request(f"/asset_ctxs/{name}.csv.lz4", window=day, weights={"requests": 1})


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
            rows=first_of_each_hour,
            bulk=True,
        ),
    ),
)
