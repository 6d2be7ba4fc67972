"""Hyperliquid's S3 archive of asset contexts, path style, as s3fs reads it: one LZ4-framed CSV a day.

A day's file exists once the day is over. The venue writes a row per coin and minute; the store is hourly, so there is a row per
coin and hour. `funding` is the running rate; a value that the store lacks is empty. The reader of the bucket pays: a request
without a signature or without the header that accepts the cost is denied.
Alone: `s3fs.S3FileSystem(key="x", secret="x", endpoint_url=URL + "/s3", requester_pays=True)`, then `.ls("hyperliquid-archive")`.
"""

from __future__ import annotations

import hashlib
import re
from email.utils import formatdate
from xml.sax.saxutils import escape

import numpy as np

from infra.emulator.market import World
from infra.emulator.messages import Answer, Ask
from infra.emulator.rendering import iso, plain
from infra.emulator.store import MS_HOUR
from infra.emulator.venue import Refused, Venue, route

MS_DAY = 24 * MS_HOUR
BUCKET = "/hyperliquid-archive"
FOLDER = "asset_ctxs/"
HEADER = "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px"
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def pack(plain_text: bytes) -> bytes:
    """As one LZ4 frame."""
    import pyarrow as pa  # a fifth of a second, for the archive only

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as out:
        out.write(plain_text)
    return bytes(sink.getvalue())


def unpack(framed: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.CompressedInputStream(pa.BufferReader(framed), "lz4").read())


class HyperliquidArchive(Venue):
    name = "s3"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.market = world.market("hyperliquid")

    @route("/{bucket}")
    @route("/{bucket}/{key:.*}")
    def get(self, ask: Ask, bucket: str, key: str = "") -> Answer:
        if "/" + bucket != BUCKET:
            raise Refused("unknown_bucket")
        if "Authorization" not in ask.headers or ask.headers.get("x-amz-request-payer") != "requester":
            raise Refused("unsigned")
        if not key:
            return self._listing(ask)
        body = self._file(key, ask.now)
        headers = {"ETag": _etag(body), "Last-Modified": self._written(key), "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", ask.headers.get("Range", ""))
        if not part:
            return Answer(body, 200, "binary/octet-stream", headers)
        first, last = int(part[1]), min(int(part[2] or len(body)), len(body) - 1)
        if first > last:
            raise Refused("invalid_range")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        return Answer(body[first : last + 1], 206, "binary/octet-stream", headers)

    def _days(self, now: int) -> list[str]:
        """The keys of the days that are over and have open interest in the store."""
        series = [self.market.open_interest(x.listed) for x in self.market.listings(now)]
        days = {int(d) for oi in series if oi is not None for d in np.unique(oi.observed_at // MS_DAY)}
        return [f"{FOLDER}{_name(d)}.csv.lz4" for d in sorted(days) if (d + 1) * MS_DAY <= now]

    def _file(self, key: str, now: int) -> bytes:
        if key not in self._days(now):
            raise Refused("unknown_path")
        return self.market.keep(("file", key), lambda: pack(self._csv(_start(key), now).encode()))

    def _csv(self, start: int, now: int) -> str:
        rows = []
        for listing in self.market.listings(now):
            coin = listing.listed
            oi, index = self.market.open_interest(coin), self.market.candles(coin, "index")
            if oi is None:
                continue
            oracles: dict[int, float] = {}
            if index is not None:  # the index at an instant is the close of the bar that ends there
                low, high = np.searchsorted(index.opened_at, (start - MS_HOUR, start + MS_DAY - MS_HOUR), "left").tolist()
                oracles = dict(zip((index.opened_at[low:high] + MS_HOUR).tolist(), index.close[low:high].tolist(), strict=True))
            low, high = np.searchsorted(oi.observed_at, (start, start + MS_DAY), "left").tolist()
            observed = zip(*(x[low:high].tolist() for x in (oi.observed_at, oi.size, oi.mark)), strict=True)
            for at, size, mark in observed:
                rate = self.market.running_rate(coin, at)
                oracle = plain(oracles.get(at, np.nan))
                values = ("" if rate is None else plain(rate), plain(size), "", "", "", oracle, plain(mark))
                rows.append((at, f"{iso(at)[:19]}Z,{coin},{','.join(values)},,,"))
        rows.sort(key=lambda row: row[0])
        return "\n".join([HEADER, *(line for _, line in rows), ""])

    def _listing(self, ask: Ask) -> Answer:
        """ListObjectsV2 by prefix, delimiter and start-after, 1000 keys a page."""
        query = ask.query
        prefix, delimiter, most = query.get("prefix", ""), query.get("delimiter", ""), ask.integer("max-keys") or 1000
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = [key for key in self._days(ask.now) if key.startswith(prefix) and key > after]
        rests = {key: key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "") for key in keys}
        folded = {prefix + rest[0] + delimiter for rest in rests.values() if rest[1]}
        files = [key for key in keys if not rests[key][1]]
        contents = []
        for key in files[:most]:
            file, written = self._file(key, ask.now), iso(_start(key) + MS_DAY)
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{written}</LastModified><ETag>{escape(_etag(file))}</ETag>"
                f"<Size>{len(file)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        more = len(files) > most
        token = f"<NextContinuationToken>{escape(files[most - 1])}</NextContinuationToken>" if more else ""
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folded))
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult {XMLNS}><Name>{BUCKET[1:]}</Name><Prefix>{escape(prefix)}'
            f"</Prefix><KeyCount>{len(contents)}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{''.join(contents)}{prefixes}</ListBucketResult>"
        )
        return Answer(body.encode(), content_type="application/xml")

    @staticmethod
    def _written(key: str) -> str:
        return formatdate((_start(key) + MS_DAY) / 1000, usegmt=True)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _name(day: int) -> str:
    return str(np.datetime64(day, "D")).replace("-", "")


def _start(key: str) -> int:
    """The first ms of a file's day."""
    name = key.removeprefix(FOLDER)
    return int(np.datetime64(f"{name[:4]}-{name[4:6]}-{name[6:8]}", "ms").astype(np.int64))


VENUE = HyperliquidArchive
