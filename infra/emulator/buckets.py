"""What a bucket of S3 holds: LZ4-framed files by key. `venues/hyperliquid_archive.py` serves them.

`Fills` are the files of Hyperliquid's node (hl-mainnet-node-data), an hour each: both parties' fills of every liquidation, beside
ordinary ones; now and then one by the backstop, whose position the liquidator's vault passes on to a party that is
auto-deleveraged; fills of a spot market and a liquidation of another dex. Nothing to run alone.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from infra.emulator.market import Market
from infra.emulator.messages import Answer, Ask
from infra.emulator.rendering import encode, iso, plain
from infra.emulator.store import MS_HOUR
from infra.emulator.streams import Forced, happened, trade_id
from infra.emulator.venue import Refused

#: The hours in which the files by line begin, and end where those by block begin.
BY_LINE_FROM, BY_BLOCK_FROM = (int(np.datetime64(hour, "ms").astype(int)) for hour in ("2025-05-25T14", "2025-07-27T08"))
VAULT = "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14"
#: Every so many liquidations one is by the backstop, and followed by an auto-deleveraging.
BACKSTOP = 7


XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def listed(key: str, body: bytes, written: int) -> str:
    """A file in a listing; `written` in ms."""
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{iso(written)}</LastModified><ETag>{escape(etag(body))}</ETag>"
        f"<Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def sent(body: bytes, written: int, ask: Ask) -> Answer:
    """A file, or the range of its bytes that is asked for; `written` in ms. Raises the error `invalid_range`."""
    headers = {"ETag": etag(body), "Last-Modified": formatdate(written / 1000, usegmt=True), "Accept-Ranges": "bytes"}
    part = re.fullmatch(r"bytes=(\d+)-(\d*)", ask.headers.get("Range", ""))
    if not part:
        return Answer(body, 200, "binary/octet-stream", headers)
    first, last = int(part[1]), min(int(part[2] or len(body)), len(body) - 1)
    if first > last:
        raise Refused("invalid_range")
    headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    return Answer(body[first : last + 1], 206, "binary/octet-stream", headers)


def pack(plain_text: bytes) -> bytes:
    """As one LZ4 frame."""
    import pyarrow as pa  # a fifth of a second, for archives only

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as out:
        out.write(plain_text)
    return bytes(sink.getvalue())


def unpack(framed: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.CompressedInputStream(pa.BufferReader(framed), "lz4").read())


class Bucket(ABC):
    """A bucket over a market. A file is there from the end of its time on."""

    name: str

    def __init__(self, market: Market) -> None:
        self.market = market

    @abstractmethod
    def find(self, now: int) -> list[str]:
        """All keys, in order."""

    def keys(self, now: int) -> list[str]:
        return self.market.keep(("keys", self.name, now // MS_HOUR), lambda: self.find(now))

    @abstractmethod
    def ends(self, key: str) -> int:
        """The end of a file's time (ms)."""

    @abstractmethod
    def plain(self, key: str, now: int) -> bytes:
        """A file before compression."""

    def file(self, key: str, now: int) -> bytes:
        return self.market.keep(("file", self.name, key), lambda: pack(self.plain(key, now)))


class Fills(Bucket):
    """A fill a line at first, then a block a line; of the hour between, the first half by line and the rest by block."""

    name = "hl-mainnet-node-data"

    def find(self, now: int) -> list[str]:
        listed = [x.listed for x in self.market.listings(now) if self.market.liquidations(x.listed) is not None]
        bars = [bars.opened_at for coin in listed if (bars := self.market.candles(coin, "trade")) is not None]
        hours = {int(at) for opened_at in bars for at in opened_at if BY_LINE_FROM <= at <= now - MS_HOUR}
        return sorted(key for hour in hours for key in self._names(hour))

    @staticmethod
    def _names(hour: int) -> Iterator[str]:
        at = datetime.fromtimestamp(hour / 1000, UTC)
        for folder, is_there in (("node_fills", hour <= BY_BLOCK_FROM), ("node_fills_by_block", hour >= BY_BLOCK_FROM)):
            if is_there:
                yield f"{folder}/hourly/{at:%Y%m%d}/{at.hour}.lz4"

    def ends(self, key: str) -> int:
        year, month, day, hour = map(int, re.findall(r"/(\d{4})(\d\d)(\d\d)/(\d+)\.lz4", key)[0])
        return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000) + MS_HOUR

    def plain(self, key: str, now: int) -> bytes:
        end, by_block = self.ends(key), "by_block" in key
        first, half = end - MS_HOUR, end - MS_HOUR // 2
        if first == BY_BLOCK_FROM:
            first, end = (half, end) if by_block else (first, half)
        lines: list[Any] = []
        for at, fills in self._blocks(first, end):
            if by_block:
                stamp = f"{iso(at)[:-1]}000000"
                lines.append({"local_time": stamp, "block_time": stamp, "block_number": at // 100, "events": fills})
            else:
                lines += fills
        return b"\n".join([*map(encode, lines), b""])

    def _blocks(self, start: int, end: int) -> Iterator[tuple[int, list[Any]]]:
        """The times of blocks and their fills, each with its user. It begins with a block without a liquidation."""
        yield start, _trade("@107", start, 1, "B", "40", "3")
        yield start + 1, _trade("xyz:TSLA", start + 1, 2, "A", "250", "2", victim=_user(b"other dex", 2))
        for number, event in enumerate(happened({"hyperliquid": self.market}, start - 1, end - 1)):
            yield event.time, [*self._fills(event, start // MS_HOUR + number)]

    @staticmethod
    def _fills(event: Forced, number: int) -> Iterable[Any]:
        coin, side, tid = event.listing.listed, "A" if event.long else "B", int(trade_id(event.listing.listed, event, True))
        px, sz, victim = plain(event.price), plain(event.size), _user(b"victim", tid)
        yield from _trade(coin, event.time, tid + 1, side, px, sz)
        if number % BACKSTOP:
            yield from _trade(coin, event.time, tid, side, px, sz, victim=victim)
            return
        yield from _trade(coin, event.time, tid, side, px, sz, victim=victim, taker=VAULT)
        yield from _trade(coin, event.time, tid + 2, side, px, sz, victim=VAULT, deleverages=True)


def _trade(
    coin: str, at: int, tid: int, side: str, px: str, sz: str, victim: str = "", taker: str = "", deleverages: bool = False
) -> list[Any]:
    """Both parties' fills. `side` is of the first one, who is the `victim` of a liquidation; `taker` takes the position over."""
    long = side == "A"
    by_backstop = bool(taker) or deleverages
    closes = f"Liquidated Cross {'Long' if long else 'Short'}" if by_backstop else f"Close {'Long' if long else 'Short'}"
    opens = "Auto-Deleveraging" if deleverages else f"Open {'Long' if long else 'Short'}"
    parties = ((victim or _user(b"seller", tid), side, closes, sz), (taker or _user(b"buyer", tid), "AB"[long], opens, "0.0"))
    fills = []
    for nth, (user, way, direction, held) in enumerate(parties):
        fill: dict[str, Any] = {"coin": coin, "px": px, "sz": sz, "side": way, "time": at, "startPosition": held}
        fill |= {"dir": direction, "closedPnl": "0.0", "hash": f"0x{tid:064x}", "oid": tid + nth, "crossed": nth == 0}
        fill |= {"fee": "0.0", "tid": tid}
        if victim:
            method = "backstop" if by_backstop else "market"
            fill["liquidation"] = {"liquidatedUser": victim, "markPx": px, "method": method}
        fills.append([user, fill | {"feeToken": "USDC", "twapId": None}])
    return fills


def _user(role: bytes, number: int) -> str:
    return f"0x{role.hex():0>20}{number:020x}"
