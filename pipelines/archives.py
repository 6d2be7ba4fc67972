"""Public archives in S3: files of a day or a month, listed, checked by their checksums, and read as columns.

A bucket is listed by S3's first listing API (`prefix`, `marker`), since it is public and takes no signature. `Files.listed` turns
a window into requests for the files that are there: months where a whole month is asked, days else. Each file is one request and
one page in landing, so that memory is that of a file. `Checked` requests a file with its `.CHECKSUM` (sha256), and `read_zip`
makes columns of the CSV inside. A file may be replaced: what the listing says of it (ETag, size) is part of its request, so that
another file under the same name is requested anew. Times in milliseconds, UTC.
Alone: `perps fetch --mode live --venues binance_usdm_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import typing
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipelines.errors import AGAIN, Transient
from pipelines.records import Columns, Record, UtcMs, arrow_schema, columns, read_custom
from pipelines.source import Endpoint, Instrument, Limit, Listed, Request, VenueProblem
from pipelines.windows import DAY, Window, to_datetime

if TYPE_CHECKING:
    from pipelines.client import Answer, Client

#: Our own moderation: none is documented.
LIMITS = {"requests": Limit(200, 1)}
#: A file and its checksum.
FILE = {"requests": 2}
#: The longest file that is read, in bytes after decompression: a month of hourly bars has 0.1 MB.
MOST_BYTES = 256_000_000
#: The earliest and the latest time that a row may have, and the least one that is in microseconds.
EARLIEST, LATEST, MICROSECONDS = 1_388_534_400_000, 2_208_988_800_000, 10**15


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


@dataclass(frozen=True)
class Files:
    """Where an archive has an instrument's files: their keys up to the day and up to the month; empty where it has no such ones.

    `{symbol}` and `{pair}` stand for the instrument's names: a pair is a symbol without `_PERP`.
    """

    daily: str = ""
    monthly: str = ""

    def plan(self, instrument: Instrument, window: Window) -> Iterable[Request]:
        """What the calendar makes of a window, whatever there is."""
        for month in window.months():
            if self.monthly and (not self.daily or month == _within(month, window)):
                yield self._request(instrument, self.monthly, month)
            else:
                yield from (self._request(instrument, self.daily, day) for day in _days(_within(month, window)))

    async def listed(self, client: Client, instrument: Instrument, window: Window) -> Listed:
        """The requests for files that are there. Raises `VenueError`."""
        monthly = await self._list(client, instrument, self.monthly, list(window.months()))
        found, left = Listed(), list[Window]()
        for month in window.months():
            there = monthly.get(month)
            if there and (not self.daily or month == _within(month, window)):
                found.requests.append(self._request(instrument, self.monthly, month, there))
            else:
                left += _days(_within(month, window)) if self.daily else [month]
        daily = await self._list(client, instrument, self.daily, left)
        found.requests.extend(self._request(instrument, self.daily, day, there) for day, there in daily.items())
        if periods := [request.window for request in found.requests if request.window]:
            first, last = min(periods), max(periods)
            found.missing.extend(day for day in left if day not in daily and first < day < last)
        return found

    async def _list(self, client: Client, instrument: Instrument, key: str, periods: Sequence[Window]) -> dict[Window, Object]:
        """What there is of some periods, in order."""
        if not key or not periods:
            return {}
        by_key = {self._key(instrument, key, period): period for period in periods}
        prefix = _named(key, instrument).rpartition("/")[0] + "/"
        marker, last = next(iter(by_key))[: -len(".zip")], max(by_key)  # the marker sorts right before the first one
        found: dict[Window, Object] = {}
        while marker:
            page = await client.fetch_page(list_request(prefix, marker), LISTING)
            if page.problem:
                raise Transient(client.source.name, f"list of {prefix}", page.problem, AGAIN)
            found.update((by_key[each.key], each) for each in page.content.objects if each.key in by_key)
            marker = page.content.marker if page.content.marker < last else ""
        return found

    @staticmethod
    def _key(instrument: Instrument, key: str, period: Window) -> str:
        form = "%Y-%m-%d" if period.end - period.start == DAY else "%Y-%m"
        return f"{_named(key, instrument)}{to_datetime(period.start):{form}}.zip"

    def _request(self, instrument: Instrument, key: str, period: Window, there: Object | None = None) -> Request:
        return Request(
            f"/{self._key(instrument, key, period)}",
            {"etag": there.etag, "size": there.size} if there else {},
            context={"symbol": instrument.symbol},
            window=period,
            weights=FILE,
        )


def _named(key: str, instrument: Instrument) -> str:
    return key.format(symbol=instrument.symbol, pair=instrument.symbol.removesuffix("_PERP"))


def _within(month: Window, window: Window) -> Window:
    """The whole days of a window in a month."""
    return window.whole_days.after(month.start).before(month.end)


def _days(window: Window) -> list[Window]:
    return list(window.chunks(DAY))


# --- a file -----------------------------------------------------------------------------------------------------------------


def error(status: int, body: bytes) -> VenueProblem | None:
    """S3's errors, in XML."""
    if status == 404:
        return VenueProblem("absent", "the archive has no such file")
    return VenueProblem("limited", "SlowDown") if status == 503 and b"<Code>SlowDown</Code>" in body else None


class Checked:
    """The transport: of a file its checksum too, with which its bytes have to agree."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def close(self) -> None:
        """It has no resources of its own."""

    async def get(self, url: str, request: Request) -> Answer:
        """Raises `Transient` where a file is not what its checksum says."""
        if not url.endswith(".zip"):
            return await self._client.http("GET", url, params=request.params)
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


def read_zip(body: bytes, record: type[Record], names: Sequence[str], key: Sequence[str] = ()) -> Columns:
    """The columns of a record out of the one CSV in a zip file; `names` are those of its columns where it has no header.

    Columns are found by the header's names. A time is in milliseconds or microseconds, whatever it was in the file before, or an
    ISO text. Of rows with the same `key` (names of the record; default: its first field, the time) the last one counts. A line
    that can't be read is left out, and named. Raises `ValueError` for a file without a line that can be read, and what `zipfile`
    raises.
    """
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        [inside] = archive.infolist()
        if inside.file_size > MOST_BYTES:
            raise ValueError(f"the file is longer than {MOST_BYTES / 1e6:g} MB")
        plain = archive.read(inside)
    if not plain.strip():
        raise ValueError("the file is empty")
    first, _, rest = plain.partition(b"\n")
    has_header = not first[:1].isdigit()
    if has_header:
        names, plain = [name.strip() for name in first.decode(errors="replace").split(",")], rest
    if missing := [wire for wire, _, null in _fields(record).values() if wire not in names and not null]:
        raise ValueError(f"the header has no column {', '.join(missing)}: {', '.join(names)}")
    if not plain.strip():
        return Columns(record, arrow_schema(record).empty_table().select(record.__struct_fields__))
    try:
        table, flaws = _whole(plain, record, names), list[tuple[str, str, str]]()
    except (pa.ArrowException, OverflowError):
        table, flaws = _by_line(plain, record, names, 2 if has_header else 1)
    return Columns(record, _last(table, key or record.__struct_fields__[:1]), flaws)


@cache
def _fields(record: type[Record]) -> Mapping[str, tuple[str, pa.DataType, bool]]:
    """By field: its name in a header, the type that is read, and whether it may be null."""
    hints, schema = typing.get_type_hints(record), arrow_schema(record)
    return {
        f.name: (
            f.encode_name,
            pa.timestamp("ms") if hints[f.name] is UtcMs else schema.field(f.name).type,
            schema.field(f.name).nullable,
        )
        for f in msgspec.structs.fields(record)
    }


def _read_csv(plain: bytes, names: Sequence[str], types: Mapping[str, pa.DataType], odd: list[str] | None = None) -> pa.Table:
    unique = [name if name in types and names.index(name) == n else f"{n}" for n, name in enumerate(names)]

    def set_aside(line: pa.csv.InvalidRow) -> str:
        assert odd is not None
        odd.append(line.text)
        return "skip"

    return pa.csv.read_csv(
        pa.BufferReader(plain),
        read_options=pa.csv.ReadOptions(column_names=unique, use_threads=False, block_size=max(len(plain), 1 << 16)),
        parse_options=pa.csv.ParseOptions(invalid_row_handler=None if odd is None else set_aside),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, include_columns=[name for name in unique if name in types], null_values=[""]
        ),
    )


def _whole(plain: bytes, record: type[Record], names: Sequence[str]) -> pa.Table:
    """All lines. Raises `pa.ArrowException` or `OverflowError` where one can't be read."""
    fields = _fields(record)
    read = _read_csv(plain, names, {wire: kind for wire, kind, _ in fields.values() if wire in names})
    made = {}
    for n, (name, (wire, kind, null)) in enumerate(fields.items()):
        column = read[wire] if wire in names else pa.nulls(read.num_rows, kind)
        if n == 0:
            column = column.cast(pa.int64())
            if (pc.max(column).as_py() or 0) >= MICROSECONDS:
                column = pc.if_else(pc.greater_equal(column, MICROSECONDS), pc.divide(column, 1000), column)
            least, most = pc.min_max(column).as_py().values()
            if least is None or least < EARLIEST or most >= LATEST:
                raise OverflowError(name)
        # A sum tells in one step whether all are finite.
        total = pc.sum(column).as_py() if kind == pa.float64() else None
        if (column.null_count and not null) or (total is not None and not abs(total) <= 1e300):
            raise OverflowError(name)
        made[name] = column
    return pa.table(made)


def _by_line(plain: bytes, record: type[Record], names: Sequence[str], first: int) -> tuple[pa.Table, list[tuple[str, str, str]]]:
    """The lines that can be read, each as the record, and the others. Raises `ValueError` where there is none."""
    odd: list[str] = []
    wires = {wire: pa.string() for wire, *_ in _fields(record).values() if wire in names}
    lines, flaws = _read_csv(plain, names, wires, odd).to_pylist(), []
    time = next(iter(_fields(record).values()))[0]
    rows = []
    for number, line in enumerate(lines, first):
        if (at := line[time] or "").isdigit() and int(at) >= MICROSECONDS:
            line[time] = str(int(at) // 1000)
        try:
            rows.append(msgspec.convert(line, record, strict=False, dec_hook=read_custom))
        except msgspec.ValidationError as problem:
            flaws.append((f"line {number}", repr(line)[:80], str(problem)))
    flaws += [("$", repr(text)[:80], "a line with another number of fields") for text in odd]
    if not rows:
        raise ValueError(f"no line can be read, such as {flaws[0][1]}: {flaws[0][2]}")
    schema = arrow_schema(record)
    return pa.table(columns(record, schema, rows), names=list(record.__struct_fields__)), flaws


def _last(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Of rows with the same keys the last one."""
    if len(keys) == 1:
        time = table[keys[0]].to_numpy()
        if (time[1:] > time[:-1]).all():
            return table
    rows = table.append_column("_row", pa.array(range(table.num_rows)))
    return table.take(
        rows.group_by(list(keys), use_threads=False).aggregate([("_row", "max")])["_row_max"].combine_chunks().sort()
    )
