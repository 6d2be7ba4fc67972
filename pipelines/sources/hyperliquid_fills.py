"""Hyperliquid's liquidations out of the fills that its node writes (s3://hl-mainnet-node-data), all there are since 2025-05-25.

One LZ4-framed file an hour, UTC, about 0.6 GB a day, in a bucket whose reader pays: it needs AWS credentials of its own, and is
off unless it is named among the venues. Lines of JSON, of a block with its fills, or of a single fill before 2025-07-27 08:00.
Both parties' fills of a liquidation are marked: those of the liquidated user alone are read, so that each counts once. Spot and
the other dexs (`dex:COIN`) are left out. A trade with a party that was auto-deleveraged is marked too (`is_adl`), and in no
total: where known, it closes what the liquidator's vault had taken over, which was counted then.

Facts: the venue page of Hyperliquid, "S3 archives", "Liquidations". Witnesses: a fill of 2025-10-10 21:16 in ConejoCapital's
HyperMultiAssetedADL, which also measured that hour (2 GB unpacked, 64 thousand marked fills) and found no deleveraged party that
is the liquidated user; for names (hours without a leading zero, both forms at 2025-07-27 08:00) a listing of the bucket of
2026-06-20 and the readers hl-candles and arblab; for a trade's id (time, coin and `tid` together) the official page on trades. By
which clock an hour's file is cut is not documented: rows of up to `CUT_LATE` beside the hour are taken.
Alone: `perps fetch --venues hyperliquid_fills --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import HOUR, Window, to_datetime

#: The first hour with fills by line, and the last one, which is the first with fills by block; milliseconds.
BY_LINE_FROM, BY_BLOCK_FROM = 1_748_181_600_000, 1_753_603_200_000
#: How far beside an hour a row of its file may lie, in milliseconds.
CUT_LATE = 60_000
#: The longest compressed file in MB; that of 2025-10-10 21:00 is known to have more than 100.
BODY_MB = 500
#: The most bytes of a file after decompression (that hour: 2 GB), of one of its lines, and of what is read at a time.
MOST_BYTES, MOST_LINE, CHUNK = 16_000_000_000, 64_000_000, 8_000_000
#: The most liquidations and damaged lines of a file (that hour: 64 thousand).
MOST_ROWS = 1_000_000
MARK = b'"liquidation"'
DELEVERAGED = "Auto-Deleveraging"


class Liquidation(Record):
    """A fill of the liquidated user. `side` is A (sold: a long was closed) or B, `method` market or backstop."""

    coin: str
    time: Ms
    tid: int
    side: str
    px: Number
    sz: Number
    dir: str
    user: str
    method: str | None
    mark_px: MaybeNumber
    is_adl: bool


class Forced(msgspec.Struct, rename="camel", gc=False):
    liquidated_user: str
    method: str | None = None
    mark_px: Any = None


class Fill(msgspec.Struct, gc=False):
    """What is read of a fill; numbers as they come."""

    coin: str
    time: Any = None
    tid: Any = None
    side: Any = None
    px: Any = None
    sz: Any = None
    dir: Any = None
    liquidation: Forced | None = None


class Block(msgspec.Struct, gc=False):
    events: list[tuple[str, Fill]]


_LINE = msgspec.json.Decoder(Block | tuple[str, Fill])


def decode(body: bytes) -> dict[str, Any]:
    """The liquidated users' fills by their places (`line 17 fill 2`), and damaged lines as text by theirs.

    Lines without a liquidation are not read, but for the brackets at their ends. Memory is that of one chunk and of what is
    given. Raises `OSError` for what is no whole LZ4 frame, and `ValueError` for a file without a line or beyond the bounds.
    """
    found: dict[str, Any] = {}
    deleveraged = set()
    for number, line in _lines(body):
        try:
            read = _LINE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found[f"line {number}"] = line[:200].decode(errors="replace")
            read = Block([])
        for nth, (user, fill) in enumerate(read.events if isinstance(read, Block) else [read], 1):
            forced = fill.liquidation
            if forced is None or any(letter in fill.coin for letter in "@/:"):
                continue
            if fill.dir == DELEVERAGED:
                deleveraged.add(_trade(fill.coin, fill.time, fill.tid))
            elif user.lower() == forced.liquidated_user.lower():
                row = msgspec.structs.asdict(fill) | {"user": user, "method": forced.method, "mark_px": forced.mark_px}
                del row["liquidation"]
                found[f"line {number} fill {nth}"] = row
        if len(found) > MOST_ROWS:
            raise ValueError(f"the file has more than {MOST_ROWS:,} liquidations and damaged lines")
    for row in found.values():
        if isinstance(row, dict):
            row["is_adl"] = _trade(row["coin"], row["time"], row["tid"]) in deleveraged
    return found


def _trade(*parts: Any) -> str:
    """What both fills of a trade have in common: the venue calls time, coin and `tid` together its id."""
    return repr(parts)


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The numbered lines with a liquidation, and those that begin or end as no line does."""
    stream = pa.CompressedInputStream(pa.BufferReader(body), "lz4")
    rest, number, size = b"", 0, 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        if size > MOST_BYTES:
            raise ValueError(f"the file is longer than {MOST_BYTES / 1e9:g} GB")
        chunk = rest + chunk
        lines, rest = chunk[: (end := chunk.rfind(b"\n") + 1)], chunk[end:]
        if len(rest) > MOST_LINE:
            raise ValueError(f"line {number + 1} is longer than {MOST_LINE / 1e6:g} MB")
        yield from _chosen(lines, number)
        number += lines.count(b"\n")
    if not size:
        raise ValueError("the file is empty")
    if rest:
        yield from _chosen(rest + b"\n", number)


def _chosen(lines: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    """Those of some whole lines, of which `number` come before. Where all look whole, the others are not even split."""
    count = lines.count(b"\n")
    begun = lines.count(b"\n{") + lines.count(b"\n[") + (lines[:1] in (b"{", b"["))
    if begun == count == lines.count(b"}\n") + lines.count(b"]\n"):
        at = 0
        while (hit := lines.find(MARK, at)) >= 0:
            start, end = lines.rfind(b"\n", 0, hit) + 1, lines.index(b"\n", hit)
            number += lines.count(b"\n", at, start)
            yield number + 1, lines[start:end]
            at = end
        return
    for nth, line in enumerate(lines.split(b"\n")[:-1], number + 1):
        if MARK in line or (line and not (line[:1] in b"{[" and line[-1:] in b"}]")):
            yield nth, line


def _files(instrument: Instrument, window: Window) -> Iterable[Request]:
    """A file for each whole hour: the one in progress has none yet."""
    for hour in window.after(BY_LINE_FROM).chunks(HOUR):
        if hour.end - hour.start == HOUR:
            yield _file("node_fills" if hour.start <= BY_BLOCK_FROM else "node_fills_by_block", hour)


def _file(folder: str, hour: Window) -> Request:
    at = to_datetime(hour.start)
    return Request(f"/{folder}/hourly/{at:%Y%m%d}/{at.hour}.lz4", window=hour, weights={"requests": 1})


def _other_form(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    """Of the hour in which the form changed, the file of the new form after that of the old one: a fill of both is one row."""
    assert request.window
    is_between = request.window.start == BY_BLOCK_FROM and request.path.startswith("/node_fills/")
    return _file("node_fills_by_block", request.window) if is_between else None


SOURCE = Source(
    name="hyperliquid_fills",
    venue="hyperliquid",
    base_url="s3://hl-mainnet-node-data",
    limits={"requests": Limit(100, 1)},
    host="s3",
    concurrency=2,  # each holds a file in memory
    body_mb=BODY_MB,
    endpoints=(
        Endpoint(
            "liquidations",
            Liquidation,
            key=("coin", "time", "tid"),
            time="time",
            plan=_files,
            next_page=_other_form,
            page=dict[str, Liquidation],
            rows=lambda page: list(page.values()),
            empty=lambda page: False,  # a file has the fills of its hour, also where none is of a liquidation
            decode=decode,
            bulk=True,
            is_event=True,
            proven_days=inf,
            cut_late=CUT_LATE,
        ),
    ),
)
