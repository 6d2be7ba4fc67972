"""The types that describe a source: its host, its limits, its endpoints. Each module in `sources/` gives one `Source`.

An `Endpoint` turns a window into requests (`plan`), a page into rows (`page`, `rows`), and names the next page (`next_page`)
and the columns that identify a row (`key`). What is the same for all sources (requests, retries, landing, quarantine, Arrow,
merging) is in `client`, `fetch` and `load`. Try one source with `perps fetch --venues binance --days 1`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlsplit

import msgspec
import pyarrow as pa

from pipelines import records
from pipelines.windows import HOUR, Window


@dataclass(frozen=True)
class Limit:
    """At most `weight` in `seconds`, as the venue documents it."""

    weight: int
    seconds: int


@dataclass(frozen=True)
class UsageHeaders:
    """The headers by which a venue states a limit and its use: names of headers, empty where it sends none.

    They are about the one limit of the request; with a `name`, about that limit alone.
    """

    limit: str = ""
    used: str = ""
    remaining: str = ""
    name: str = ""


@dataclass(frozen=True)
class Usage:
    """The use of a limit as a venue stated it (None: not stated), and what was counted here then, in the limit's weight."""

    limit: int | None
    used: int | None
    counted: float


@dataclass(frozen=True)
class Instrument:
    """The venue's symbol of a perpetual, and its base asset.

    `listed_at` and `delisted_at` (milliseconds, UTC) bound what is requested; None: not known, or not over. `trading` is False
    where the venue's status says that it does not trade now: not yet, being settled, delisted.
    """

    symbol: str
    base_asset: str
    listed_at: int | None = None
    delisted_at: int | None = None
    trading: bool = True

    @property
    def in_path(self) -> str:
        """The symbol as one part of a URL's path, whatever it has."""
        return quote(self.symbol, safe="")

    def life(self, window: Window) -> Window:
        """The part of a window in which the instrument was listed, in whole hours."""
        if self.listed_at:
            window = window.after(self.listed_at // HOUR * HOUR)
        return window.before(-(-self.delisted_at // HOUR) * HOUR) if self.delisted_at else window


@dataclass(frozen=True)
class Request:
    """One request to a venue: a GET with `params` in the query, or a POST with a `body`.

    `context` are columns that the response doesn't have. `weights` is the cost, by the source's limits.
    `window` is the requested window: rows outside it are cut, and a page that has rows but none inside answers another request.
    `clip_start`: the endpoint takes an end alone, so that a page may have earlier rows only. `clip_end`: later rows only, as in
    pages that are counted from the newest row and take neither end.
    `instrument` is the requested symbol, which fetch fills in; rows of another instrument are refused.
    """

    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    window: Window | None = None
    clip_start: bool = False
    clip_end: bool = False
    weights: Mapping[str, int] = field(default_factory=dict)
    instrument: str = ""

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"

    @property
    def path_label(self) -> str:
        """The path, and the field of the body that distinguishes POST requests to one path."""
        body = self.body or {}
        return f"{self.path} {body.get('type', '') or body.get('operationName', '')}".rstrip()


@dataclass(frozen=True)
class Listed:
    """The requests for an archive's files of an instrument and a window, and the days of which it has none between others."""

    requests: list[Request] = field(default_factory=list)
    missing: list[Window] = field(default_factory=list)


Plan = Callable[[Instrument, Window], Iterable[Request]]
Rows = Callable[[Any], Sequence[Any]]
NextPage = Callable[[Request, Any, Sequence[Any]], Request | None]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of one source, and its raw table.

    Requests: `plan(instrument, window)` gives them; a `bulk` endpoint is requested once for all instruments. `plan_all` is a plan
    for all instruments at once, where a series has one: it is used where that takes fewer requests and all assets are wanted.
    `next_page(request, page, rows)` gives the request for the next page, or None. `history_days` is how many days back the venue
    answers (None: without limit).

    Pages: `page` is the type of a body (default: a list of records), `rows` takes the records out of it. `decode` takes the place
    of JSON's decoder: it gives a page's plain values. `columnar` takes the place of both and of the records' types, for files of
    many rows: it gives columns. `aligned` are the places (`$.data.time`) of lists that are sent side by
    side: a row is an index of them all, also where one holds columns. `empty` is True for a page without any records where `rows`
    leaves some out. `ignored_fields` are documented fields that are not loaded (`*`: whatever is not read); other new fields are
    reported. `wire_type` is the type with the venue's field names, where `record` flattens several levels.
    `allow_identical_pages`: responses about two instruments mostly have equal bytes, because their rows don't name the
    instrument.

    Rows: `key` identifies one, together with the time of observation for a snapshot. `time` is the column, in milliseconds, that
    a window selects by; a snapshot has none. `bar` is the length of a bar in milliseconds: bars that were not over when they
    were observed are not loaded. `every` is the distance in milliseconds of points that are requested so: a longer way between
    two of them is a hole. `is_event`: rows are events, so a window without rows can be complete: silence counts as zero
    for `proven_days` back, for which a witness says that the venue keeps its events, and else after the oldest row seen.
    `cut_late`: a page may have, and lack, rows that lie so many milliseconds beside its window: files that are cut by another
    clock than the rows'.
    `numbered`: events have no id, so equal ones of a page are several; the column `nth` numbers them.

    Instruments: a snapshot by instrument is requested of those that trade; `only_trading` says it of a history too, where the
    venue refuses it for those that are settled or delisted. Windows are cut to the instrument's life.

    Archives: `listed` takes the place of `plan`, which says what the calendar makes of a window: it lists what there is, and
    gives the requests for files that are there.

    Streams: of an endpoint that is `streamed` nothing is requested. Its pages are segments of what the collector heard, their
    rows are loaded whatever their time, and a row that is stated again with other values replaces the one before.
    """

    name: str
    record: type[records.Record]
    key: tuple[str, ...]
    plan: Plan
    plan_all: Plan | None = None
    page: Any = None
    rows: Rows = lambda page: page
    next_page: NextPage = lambda request, page, rows: None
    decode: Callable[[bytes], Any] | None = None
    columnar: Callable[[bytes], records.Columns] | None = None
    listed: Callable[[Any, Instrument, Window], Awaitable[Listed]] | None = None
    time: str | None = None
    context: tuple[str, ...] = ()
    bulk: bool = False
    bar: int | None = None
    every: int | None = None
    history_days: float | None = None
    is_event: bool = False
    proven_days: float = 0
    cut_late: int = 0
    numbered: bool = False
    only_trading: bool = False
    empty: Callable[[Any], bool] | None = None
    ignored_fields: frozenset[str] = frozenset()
    wire_type: type[msgspec.Struct] | None = None
    aligned: tuple[str, ...] = ()
    allow_identical_pages: bool = False
    streamed: bool = False

    @cached_property
    def read(self) -> Callable[[bytes], Any]:
        """Bytes to page; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
        if decode := self.decode:
            return lambda body: self.convert(decode(body))
        return msgspec.json.Decoder(self.page_type, strict=False, dec_hook=records.read_custom).decode

    @property
    def is_file(self) -> bool:
        """True if a page takes long to read."""
        return bool(self.decode or self.columnar)

    @property
    def page_type(self) -> Any:
        return self.page or list[self.record]  # type: ignore[name-defined]

    def convert(self, value: Any) -> Any:
        """Plain values to page; raises `msgspec.ValidationError`."""
        return msgspec.convert(value, self.page_type, strict=False, dec_hook=records.read_custom)

    @cached_property
    def schema(self) -> pa.Schema:
        return records.arrow_schema(self.record, self.context, self.numbered)

    def is_empty(self, page: Any, rows: Sequence[Any]) -> bool:
        """True if the page has no records, not even records that `rows` leaves out."""
        return self.empty(page) if self.empty else not rows

    @property
    def snapshot(self) -> bool:
        return self.time is None

    @property
    def primary_key(self) -> tuple[str, ...]:
        return (*self.key, "_observed_at") if self.snapshot else (*self.key, "nth") if self.numbered else self.key


@dataclass(frozen=True)
class Subscription:
    """A message that subscribes, and the key by which the venue's answer names it."""

    message: Any
    key: str


@dataclass(frozen=True)
class Heard:
    """What a frame is: `event`: kept; `data`: what was subscribed to, and not kept; `acknowledged`, `refused`: the answer to a
    subscription; `other`: counted and not kept.

    `key` is that of the subscription (a refusal without one is of the oldest that waits), `text` what the venue says of a
    refusal; `reply` is sent back. `has_events`: the frame is kept beside what it is.
    """

    kind: Literal["event", "data", "acknowledged", "refused", "other"]
    key: str = ""
    text: str = ""
    reply: Any = None
    has_events: bool = False


@dataclass(frozen=True)
class Stream:
    """One stream of a source over WebSocket: what `pipelines.collect` has to know to hear it.

    `subscribe(symbols, number)` is one message for at most `per_request` symbols; `number` differs for each message of a
    connection. A stream of everything (`by_instrument` False) is subscribed to once, without symbols. `hear` tells what a frame,
    decoded from JSON, is; `endpoint` reads those that are events. `unpack` decompresses binary frames.

    A connection takes `per_connection` symbols and `per_second` messages, and is replaced after `lifetime` seconds, before the
    venue ends it. `ping` is the venue's own form of a ping (a text, or an object sent as JSON; empty: a ping of the protocol
    does), sent every `ping_seconds`; `pong` is its answer where that is no JSON.

    An event is sent within `delay` seconds. `silence` is after how many seconds without data a subscription that was
    acknowledged counts as failed (None: it may be silent for ever; so may one to a few symbols), and `silent` what may be the
    cause. `numbers(frame)` are a frame's sequence numbers, each with its series, where the venue leaves none out.
    """

    name: str
    url: str
    endpoint: Endpoint
    subscribe: Callable[[Sequence[str], int], Subscription]
    hear: Callable[[Any], Heard]
    by_instrument: bool = False
    per_request: int = 100
    per_connection: int = 1000
    per_second: float = 5
    delay: float = 1
    ping: Any = ""
    ping_seconds: float = 20
    pong: str = "pong"
    lifetime: float | None = None
    silence: float | None = None
    silent: str = ""
    unpack: Callable[[bytes], bytes] | None = None
    numbers: Callable[[Any], Iterable[tuple[str, int]]] | None = None


class Session(records.Record):
    """A part of a connection in which some instruments were heard without a gap.

    `symbols`: separated by blanks, empty: all of the venue's. Times in milliseconds, UTC: connected, all acknowledged, the last
    ping that was answered less the stream's delay, the end and its cause (null while it goes on). Of the part: frames and bytes
    received, frames kept, sequence numbers left out by the venue, frames dropped here because the disk was slow or full.
    """

    session: str
    part: int
    stream: str
    symbols: str
    connected_at: records.Ms
    heard_from: records.Ms
    heard_to: records.Ms
    ended_at: records.Ms | None
    ended: str | None
    messages: int
    bytes: int
    events: int
    missing: int
    dropped: int


class SessionLine(msgspec.Struct):
    """A line of a segment, at milliseconds, UTC; those with a frame have no session."""

    at: int
    session: Session | None = None


#: The sessions of all streams of a source.
SESSIONS = Endpoint(
    "sessions",
    Session,
    key=("session", "part"),
    plan=lambda instrument, window: (),
    page=list[SessionLine],
    rows=lambda page: [line.session for line in page if line.session],
    time="heard_from",
    streamed=True,
    is_event=True,
)


#: The kinds of errors that venues state. `absent`: there is nothing for this instrument (not trading, no such archive file);
#: `retired`: the endpoint has ended.
Kind = Literal["limited", "blocked", "rejected", "transient", "key", "absent", "retired"]


@dataclass(frozen=True)
class VenueProblem:
    """An error that a venue states in a response, and its kind."""

    kind: Kind
    message: str

    @classmethod
    def by_status(cls, status: int, message: str) -> VenueProblem:
        """The kind by HTTP status: 429 limited, 5xx transient, 410 retired, else rejected."""
        by_status: dict[int, Kind] = {429: "limited", 410: "retired"}
        return cls(by_status.get(status, "transient" if status >= 500 else "rejected"), message)


class Transport(Protocol):
    """Sends requests where plain HTTP doesn't do: an archive in S3, a client library, a query that takes several requests."""

    async def get(self, url: str, request: Request) -> tuple[int, Mapping[str, str], bytes, str]:
        """Status, headers, body and URL of the response to a request."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Source:
    """One system with an API: a module, a row in the table of sources, a raw table per endpoint.

    A source that reads several venues is one `Source` for each of them, with the same name; its rows name their venue.
    """

    name: str
    venue: str
    base_url: str
    limits: Mapping[str, Limit]
    endpoints: tuple[Endpoint, ...]
    #: What the collector hears.
    streams: tuple[Stream, ...] = ()
    #: Snapshots by instrument that the collector alone asks for, and no run.
    collected: tuple[Endpoint, ...] = ()
    #: The venue's error in a status and a body; None for a response that is no error.
    error: Callable[[int, bytes], VenueProblem | None] = lambda status, body: None
    #: The perpetuals in a page of the endpoint `instruments`.
    parse_instruments: Callable[[Any], list[Instrument]] | None = None
    #: What the limits and pauses belong to, where the venue counts several hosts together; default: the host.
    pool: str = ""
    #: How the venue states a limit and its use; None where it doesn't, or states another limit than those.
    usage_headers: UsageHeaders | None = None
    #: The seconds in one unit of the header `Retry-After`, where it is no date.
    retry_after_unit: float = 1
    #: How many requests are sent at a time.
    concurrency: int = 8
    #: The longest answer in MB, where it is longer than the setting `body_max_mb` has it.
    body_mb: float = 0
    #: The header for the API key and the text before the key in it. The table of sources names the environment variable.
    key_header: str = ""
    key_prefix: str = ""
    #: Requests are made by asset, not by listed instrument.
    by_asset: bool = False
    #: The emulator's name for this host, where the venue has several.
    host: str = ""
    #: Where the files of an archive are, if at another host than its lists.
    files_url: str = ""
    #: Makes the transport for a client, where requests don't go by plain HTTP.
    transport: Callable[[Any], Transport] | None = None

    @property
    def limit_pool(self) -> str:
        return self.pool or urlsplit(self.base_url).netloc or self.base_url

    @property
    def polled(self) -> tuple[Endpoint, ...]:
        """What `perps collect` asks for again and again: the present of listed instruments, but for the lists themselves."""
        if not self.parse_instruments:
            return ()
        lists = ("instruments", "funding_info")
        return (*(e for e in self.endpoints if e.snapshot and e.name not in lists), *self.collected)

    @property
    def tables(self) -> tuple[Endpoint, ...]:
        """All endpoints that have a raw table: those of runs, those of the collector's requests, those of streams."""
        heard = dict.fromkeys(stream.endpoint for stream in self.streams)
        return (*self.endpoints, *self.collected, *((*heard, SESSIONS) if heard else ()))

    def endpoint(self, name: str) -> Endpoint:
        return next(endpoint for endpoint in self.tables if endpoint.name == name)

    def raw_table(self, endpoint: Endpoint) -> str:
        return f"{self.name}__{endpoint.name}"
