"""Hyperliquid's S3 archives, path style, as s3fs reads them: asset contexts by day, and its node's fills by hour (`buckets`).

A file exists once its time is over. The venue writes a row of contexts per coin and minute; the store is hourly, so there is a
row per coin and hour. `funding` is the running rate; a value that the store lacks is empty. The reader of the buckets pays: a
request without a signature or without the header that accepts the cost is denied.
Alone: `s3fs.S3FileSystem(key="x", secret="x", endpoint_url=URL + "/s3", requester_pays=True)`, then `.ls("hyperliquid-archive")`.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

import numpy as np

from infra.emulator.buckets import XMLNS, Bucket, Fills, listed, sent
from infra.emulator.market import World
from infra.emulator.messages import Answer, Ask
from infra.emulator.rendering import iso, plain
from infra.emulator.store import MS_HOUR
from infra.emulator.venue import Refused, Venue, route

MS_DAY = 24 * MS_HOUR
FOLDER = "asset_ctxs/"
HEADER = "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px"


class AssetContexts(Bucket):
    """A CSV a day."""

    name = "hyperliquid-archive"

    def find(self, now: int) -> list[str]:
        """The keys of the days that are over and have open interest in the store."""
        series = [self.market.open_interest(x.listed) for x in self.market.listings(now)]
        days = {int(d) for oi in series if oi is not None for d in np.unique(oi.observed_at // MS_DAY)}
        return [f"{FOLDER}{_name(d)}.csv.lz4" for d in sorted(days) if (d + 1) * MS_DAY <= now]

    def ends(self, key: str) -> int:
        name = key.removeprefix(FOLDER)
        return int(np.datetime64(f"{name[:4]}-{name[4:6]}-{name[6:8]}", "ms").astype(np.int64)) + MS_DAY

    def plain(self, key: str, now: int) -> bytes:
        start, rows = self.ends(key) - MS_DAY, []
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
        return "\n".join([HEADER, *(line for _, line in rows), ""]).encode()


class HyperliquidArchive(Venue):
    name = "s3"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        market = world.market("hyperliquid")
        self.buckets = {bucket.name: bucket(market) for bucket in (AssetContexts, Fills)}

    @route("/{bucket}")
    @route("/{bucket}/{key:.*}")
    def get(self, ask: Ask, bucket: str, key: str = "") -> Answer:
        if bucket not in self.buckets:
            raise Refused("unknown_bucket")
        if "Authorization" not in ask.headers or ask.headers.get("x-amz-request-payer") != "requester":
            raise Refused("unsigned")
        found = self.buckets[bucket]
        if not key:
            return _listing(found, ask)
        if key not in found.keys(ask.now):
            raise Refused("unknown_path")
        return sent(found.file(key, ask.now), found.ends(key), ask)


def _listing(bucket: Bucket, ask: Ask) -> Answer:
    """ListObjectsV2 by prefix, delimiter and start-after, 1000 keys a page."""
    query = ask.query
    prefix, delimiter, most = query.get("prefix", ""), query.get("delimiter", ""), ask.integer("max-keys") or 1000
    after = query.get("continuation-token") or query.get("start-after", "")
    keys = [key for key in bucket.keys(ask.now) if key.startswith(prefix) and key > after]
    rests = {key: key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "") for key in keys}
    folded = {prefix + rest[0] + delimiter for rest in rests.values() if rest[1]}
    files = [key for key in keys if not rests[key][1]]
    contents = []
    for key in files[:most]:
        contents.append(listed(key, bucket.file(key, ask.now), bucket.ends(key)))
    more = len(files) > most
    token = f"<NextContinuationToken>{escape(files[most - 1])}</NextContinuationToken>" if more else ""
    prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folded))
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult {XMLNS}><Name>{bucket.name}</Name><Prefix>{escape(prefix)}'
        f"</Prefix><KeyCount>{len(contents)}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{token}{''.join(contents)}{prefixes}</ListBucketResult>"
    )
    return Answer(body.encode(), content_type="application/xml")


def _name(day: int) -> str:
    return str(np.datetime64(day, "D")).replace("-", "")


VENUE = HyperliquidArchive
