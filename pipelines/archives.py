"""Public archives: files of a day or a month, listed, checked by what is stated of them, each a page in landing.

`Files` turns a window into requests for the files that are there: months where a whole month is asked, days else. A bucket of S3
is listed by its first listing API (`prefix`, `marker`), since it is public and takes no signature; where an archive lists
nothing, each file is asked for by HEAD. Days and months may be those of another clock than UTC's. `Archive` requests a file and
holds its bytes against size and ETag, `Checked` against its `.CHECKSUM` (sha256). A file may be replaced: what the listing says
of it is part of its request, so that another file under the same name is requested anew. `pipelines.csv_files` reads them. Times
in milliseconds, UTC.
Alone: `perps fetch --mode live --venues binance_usdm_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import msgspec

from pipelines.errors import AGAIN, Transient
from pipelines.paging import once
from pipelines.records import Record
from pipelines.source import Endpoint, Instrument, Limit, Listed, Request, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import DAY, Window, to_datetime

if TYPE_CHECKING:
    from pipelines.client import Answer, Client

#: Our own moderation: none is documented.
LIMITS = {"requests": Limit(200, 1)}
#: The most pages of a list of files, which has a thousand of them on each.
MOST_PAGES = 1000
#: A file and its checksum.
WITH_CHECKSUM = {"requests": 2}


# --- what there is ----------------------------------------------------------------------------------------------------------


class Object(Record):
    """A file of a listing; `size` in bytes."""

    key: str
    size: int
    etag: str


class Folder(Record):
    prefix: str


class Listing(msgspec.Struct):
    """A page of a listing: its files, its folders, and the marker for the next page (empty: it is the last one)."""

    objects: list[Object]
    folders: list[Folder]
    marker: str


def decode_listing(body: bytes) -> dict[str, Any]:
    """The XML of S3's `ListBucketResult`. Without a delimiter it names no next marker: it is the last key then.

    Raises `ElementTree.ParseError`.
    """
    root = ElementTree.fromstring(body)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""

    def text(node: ElementTree.Element, name: str) -> str:
        return node.findtext(space + name) or ""

    objects = [
        {"key": text(each, "Key"), "size": text(each, "Size"), "etag": text(each, "ETag").strip('"')}
        for each in root.iterfind(space + "Contents")
    ]
    folders = [{"prefix": text(each, "Prefix")} for each in root.iterfind(space + "CommonPrefixes")]
    marker = ""
    if text(root, "IsTruncated") == "true":
        marker = text(root, "NextMarker") or max([*(each["key"] for each in objects), *(each["prefix"] for each in folders)])
    return {"objects": objects, "folders": folders, "marker": marker}


LISTING = Endpoint(
    "listing",
    Object,
    key=("key",),
    plan=lambda instrument, window: (),
    page=Listing,
    rows=lambda page: page.objects,
    empty=lambda page: False,
    decode=decode_listing,
    allow_identical_pages=True,
)


def list_request(prefix: str, marker: str = "", delimiter: str = "") -> Request:
    """A request for the page of a listing that begins after a marker."""
    params = {"delimiter": delimiter, "marker": marker, "prefix": prefix}
    return Request("/", {name: value for name, value in params.items() if value}, weights={"requests": 1})


def next_folders(request: Request, page: Listing, rows: Sequence[Any]) -> Request | None:
    """The next page of a list of folders."""
    marker = page.marker
    return list_request(str(request.params["prefix"]), marker, str(request.params["delimiter"])) if marker else None


class Symbol(Record):
    symbol: str


def symbols(page: Listing) -> list[Symbol]:
    """The names of the folders."""
    return [Symbol(folder.prefix.rstrip("/").rpartition("/")[2]) for folder in page.folders]


def instruments(page: Listing, perpetual: re.Pattern[str]) -> list[Instrument]:
    """The folders whose names are those of perpetuals; the pattern's group `base` is what they are made of."""
    found = ((each.symbol, perpetual.fullmatch(each.symbol)) for each in symbols(page))
    return [Instrument(symbol, base_asset(match["base"])) for symbol, match in found if match]


def folders(prefix: str) -> Endpoint:
    """The list of instruments that is one of folders, delisted ones too."""
    return Endpoint(
        "instruments",
        Symbol,
        key=("symbol",),
        bulk=True,
        plan=once(list_request(prefix, delimiter="/")),
        page=Listing,
        rows=symbols,
        decode=decode_listing,
        next_page=next_folders,
    )


class Known(Record):
    """What the answer to HEAD says of a file; `size` in bytes, -1: not stated."""

    size: int
    etag: str


#: Of a file that no listing names: one `Known`, or none where it isn't there, or has no byte.
PROBE = Endpoint(
    "probe", Known, key=("etag",), plan=lambda instrument, window: (), empty=lambda page: False, allow_identical_pages=True
)
#: The parameter by which a request for `PROBE` is known.
HEAD = "head"


@dataclass(frozen=True)
class Files:
    """Where an archive has an instrument's files: the keys of days and of months; empty where it has no such ones.

    `{symbol}` and `{pair}` stand for the instrument's names: a pair is a symbol without `_PERP`. `{at:%Y-%m-%d}` stands for the
    first day of a file, `{last:%d}` for its last. The archive's days begin `day_ahead` milliseconds before UTC's, its months
    `month_ahead`. Of a file that is `cut` no more is taken than what was asked for: bars beside a run's window are in no sum of
    days. None is there of a time before `since`. Where nothing lists the files, each is `probed` by HEAD. What a month lacks is
    asked of its days where it is `mended` by them.
    """

    daily: str = ""
    monthly: str = ""
    day_ahead: int = 0
    month_ahead: int = 0
    since: int = 0
    cut: bool = False
    probed: bool = False
    mended: bool = False
    weights: Mapping[str, int] = field(default_factory=lambda: {"requests": 1})

    def plan(self, instrument: Instrument, window: Window) -> Iterable[Request]:
        """What the calendar makes of a window, whatever there is."""
        window = window.after(self.since)
        months = self._months(window)
        requests = [self._request(instrument, self.monthly, month, window) for month in months]
        requests += [self._request(instrument, self.daily, day, window, months) for day in self._days(window, months)]
        yield from sorted(requests, key=_start)

    async def listed(self, client: Client, instrument: Instrument, window: Window) -> Listed:
        """The requests for files that are there. Raises `VenueError`."""
        window = window.after(self.since)
        months = await self._list(client, instrument, self.monthly, self._months(window))
        days = self._days(window, months)
        by_day = await self._list(client, instrument, self.daily, days)
        found = Listed([self._request(instrument, self.monthly, month, window, there=there) for month, there in months.items()])
        found.requests.extend(self._request(instrument, self.daily, day, window, months, there) for day, there in by_day.items())
        if periods := [*months, *by_day]:
            asked = days if self.daily else self._months(window)
            found.missing.extend(each for each in asked if each not in periods and min(periods) < each < max(periods))
        return found

    def _months(self, window: Window) -> list[Window]:
        """The archive's months that may be taken for a window: those that lie in it, but for less than a day."""
        months = [_moved(month, -self.month_ahead) for month in _moved(window, self.month_ahead).months()] if self.monthly else []
        if not self.daily:
            return months
        left_out = ([part.end - part.start for part in month.without([window.whole_days])] for month in months)
        return [month for month, parts in zip(months, left_out, strict=True) if sum(parts) < DAY]

    def _days(self, window: Window, months: Iterable[Window]) -> list[Window]:
        """The archive's days that have what months leave out of a window."""
        if not self.daily:
            return []
        parts = [_moved(part, self.day_ahead).whole_days for part in window.without(months)]
        return list(dict.fromkeys(_moved(day, -self.day_ahead) for part in parts for day in part.chunks(DAY)))

    async def _list(
        self, client: Client, instrument: Instrument, key: str, periods: Sequence[Window]
    ) -> dict[Window, Object | Known]:
        """What there is of some periods, in order."""
        if not key or not periods:
            return {}
        by_key = {self._key(instrument, key, period): period for period in periods}
        if self.probed:
            return await self._probe(client, by_key)
        prefix = commonpath([key.rpartition("/")[0] for key in by_key]) + "/"
        marker, last = min(by_key)[:-1], max(by_key)  # the marker sorts right before the first one
        found: dict[Window, Object | Known] = {}
        pages = 0
        while marker:
            page = await client.fetch_page(list_request(prefix, marker), LISTING)
            if page.problem:
                raise Transient(client.source.name, f"list of {prefix}", page.problem, AGAIN)
            found.update((by_key[each.key], each) for each in page.content.objects if each.key in by_key)
            pages += 1
            if (following := page.content.marker) and (following <= marker or pages == MOST_PAGES):
                message = f"the list doesn't end: after {pages} pages it goes on at {following[:100]!r}"
                raise Transient(client.source.name, f"list of {prefix}", message, AGAIN)
            marker = following if following < last else ""
        return found

    async def _probe(self, client: Client, by_key: Mapping[str, Window]) -> dict[Window, Object | Known]:
        requests = [Request(f"/{key}", {HEAD: 1}, weights={"requests": 1}) for key in by_key]
        pages = await asyncio.gather(*(client.fetch_page(request, PROBE) for request in requests))
        return {period: page.rows[0] for period, page in zip(by_key.values(), pages, strict=True) if page.rows}

    def _key(self, instrument: Instrument, key: str, period: Window) -> str:
        ahead = self.day_ahead if key == self.daily else self.month_ahead
        at, last = to_datetime(period.start + ahead), to_datetime(period.end + ahead - 1)
        return key.format(symbol=instrument.symbol, pair=instrument.symbol.removesuffix("_PERP"), at=at, last=last)

    def _request(
        self,
        instrument: Instrument,
        key: str,
        period: Window,
        window: Window,
        others: Iterable[Window] = (),
        there: Object | Known | None = None,
    ) -> Request:
        """The request for a file, for what others leave out of a window."""
        [part, *_] = period.after(window.start).before(window.end).without(others) if self.cut else [period]
        return Request(
            f"/{self._key(instrument, key, period)}",
            {"etag": there.etag, "size": there.size} if there else {},
            context={"symbol": instrument.symbol} if instrument.symbol else {},
            window=part,
            clip_start=self.cut,
            clip_end=self.cut,
            weights=self.weights,
            instrument=instrument.symbol if self.mended and key == self.monthly else "",
        )


def _start(request: Request) -> int:
    assert request.window
    return request.window.start


def _moved(window: Window, ms: int) -> Window:
    return Window(window.start + ms, window.end + ms)


# --- a file -----------------------------------------------------------------------------------------------------------------


def error(status: int, body: bytes) -> VenueProblem | None:
    """S3's errors, in XML."""
    if status == 404:
        return VenueProblem("absent", "the archive has no such file")
    return VenueProblem("limited", "SlowDown") if status == 503 and b"<Code>SlowDown</Code>" in body else None


class Archive:
    """The transport: of a file its bytes, if they are what its listing says of them; of a probe what HEAD says.

    The ETag of S3 is the md5 of a file that was not uploaded in parts. Lists may be at another host than files
    (`Source.files_url`).
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def close(self) -> None:
        """It has no resources of its own."""

    async def get(self, url: str, request: Request) -> Answer:
        """Raises `Transient` where a file is not what its listing says."""
        if request.params.get(HEAD):
            return await self._probe(self._client.files_url + request.path)
        if not request.window:
            return await self._client.http("GET", url, params=request.params)
        return self.checked(request, await self._client.http("GET", self._client.files_url + request.path))

    def checked(self, request: Request, answer: Answer) -> Answer:
        """The answer. Raises `Transient` where its bytes are not those that the listing stated."""
        etag, size = str(request.params.get("etag", "")), int(request.params.get("size", -1))
        is_md5 = bool(re.fullmatch("[0-9a-f]{32}", etag))
        is_other = size not in (-1, len(answer[2])) or (
            is_md5 and hashlib.md5(answer[2], usedforsecurity=False).hexdigest() != etag
        )
        if answer[0] == 200 and is_other:
            message = f"the file is not what its listing says ({len(answer[2])} of {size} bytes, ETag {etag})"
            raise Transient(self._client.source.name, request.path_label, message, AGAIN)
        return answer

    async def _probe(self, url: str) -> Answer:
        status, headers, body, at = await self._client.http("HEAD", url)
        if status not in (200, 404):
            return status, headers, body, at
        size = headers.get("Content-Length", "-1")
        known = [{"size": size, "etag": headers.get("ETag", "").strip('"')}] if status == 200 and size != "0" else []
        return 200, headers, msgspec.json.encode(known), at


class Checked(Archive):
    """The same with a file's checksum beside it (sha256), with which its bytes have to agree."""

    async def get(self, url: str, request: Request) -> Answer:
        """Raises `Transient` where a file is not what its checksum says."""
        if not request.window:
            return await super().get(url, request)
        answer, checksum = await asyncio.gather(self._client.http("GET", url), self._client.http("GET", f"{url}.CHECKSUM"))
        if answer[0] != 200:
            return answer
        if checksum[0] != 200:
            return checksum
        stated = checksum[2].split()[:1]
        if stated != [hashlib.sha256(answer[2]).hexdigest().encode()]:
            message = f"the file is not what its CHECKSUM says ({checksum[2][:100]!r})"
            raise Transient(self._client.source.name, request.path_label, message, AGAIN)
        return answer
