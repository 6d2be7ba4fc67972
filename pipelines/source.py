"""The types that describe a source: its host, its limits, its endpoints. Each module in `sources/` gives one `Source`.

An `Endpoint` turns a window into requests (`plan`), a page into rows (`page`, `rows`), and names the next page (`next_page`)
and the columns that identify a row (`key`). What is the same for all sources (requests, retries, landing, quarantine, Arrow,
merging) is in `client`, `fetch` and `load`. Try one source with `perps fetch --venues binance --days 1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import msgspec
import pyarrow as pa

from pipelines import records
from pipelines.windows import Window


@dataclass(frozen=True)
class Limit:
    """At most `weight` in `seconds`, as the venue documents it."""

    weight: int
    seconds: int


@dataclass(frozen=True)
class Instrument:
    """The venue's symbol of a perpetual, and its base asset."""

    symbol: str
    base_asset: str


@dataclass(frozen=True)
class Request:
    """One request to a venue: a GET with `params` in the query, or a POST with a `body`.

    `context` are columns that the response doesn't have. `weights` is the cost, by the source's limits.
    `window` is the requested window; rows outside it are refused, because they answer another request (None where the endpoint
    takes no window). `clip_start`: the endpoint takes an end alone, so earlier rows are dropped instead. `clip_end`: later rows
    are dropped, as in pages that are counted from the newest row and take neither end.
    `instrument` is the requested symbol, which fetch fills in; rows of another instrument are refused too.
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


Plan = Callable[[Instrument, Window], Iterable[Request]]
Rows = Callable[[Any], Sequence[Any]]
NextPage = Callable[[Request, Any, Sequence[Any]], Request | None]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of one source, and its raw table.

    Requests: `plan(instrument, window)` gives them; a `bulk` endpoint is requested once for all instruments.
    `next_page(request, page, rows)` gives the request for the next page, or None. `history_days` is how many days back the venue
    answers (None: without limit).

    Pages: `page` is the type of a body (default: a list of records), `rows` takes the records out of it; `decode` replaces JSON.
    `empty` is True for a page without any records where `rows` leaves some out. `ignored_fields` are documented fields that are
    not loaded; other new fields are reported. `wire_type` is the type with the venue's field names, where `record` flattens
    several levels. `allow_identical_pages`: responses about two instruments may have equal bytes, because their rows don't name
    the instrument.

    Rows: `key` identifies one, together with the time of observation for a snapshot. `time` is the column, in milliseconds, that
    a window selects by; a snapshot has none. `bar` is the length of a bar in milliseconds: bars that were not over when they
    were observed are not loaded. `is_event`: rows are events, so a window without rows can be complete.
    """

    name: str
    record: type[records.Record]
    key: tuple[str, ...]
    plan: Plan
    page: Any = None
    rows: Rows = lambda page: page
    next_page: NextPage = lambda request, page, rows: None
    decode: Callable[[bytes], Any] | None = None
    time: str | None = None
    context: tuple[str, ...] = ()
    bulk: bool = False
    bar: int | None = None
    history_days: float | None = None
    is_event: bool = False
    empty: Callable[[Any], bool] | None = None
    ignored_fields: frozenset[str] = frozenset()
    wire_type: type[msgspec.Struct] | None = None
    allow_identical_pages: bool = False

    @cached_property
    def read(self) -> Callable[[bytes], Any]:
        """Bytes to page; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
        if self.decode:
            return self.decode
        page = self.page or list[self.record]  # type: ignore[name-defined]
        return msgspec.json.Decoder(page, strict=False, dec_hook=records.read_custom).decode

    @cached_property
    def schema(self) -> pa.Schema:
        return records.arrow_schema(self.record, self.context)

    def is_empty(self, page: Any, rows: Sequence[Any]) -> bool:
        """True if the page has no records, not even records that `rows` leaves out."""
        return self.empty(page) if self.empty else not rows

    @property
    def snapshot(self) -> bool:
        return self.time is None

    @property
    def primary_key(self) -> tuple[str, ...]:
        return (*self.key, "_observed_at") if self.snapshot else self.key


@dataclass(frozen=True)
class VenueProblem:
    """An error that a venue states in a response, and its kind."""

    kind: Literal["limited", "blocked", "rejected", "transient", "key"]
    message: str

    @classmethod
    def by_status(cls, status: int, message: str) -> VenueProblem:
        """The kind by HTTP status: 429 limited, 5xx transient, else rejected."""
        return cls("limited" if status == 429 else "transient" if status >= 500 else "rejected", message)


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
    #: The venue's error in a status and a body; None for a response that is no error.
    error: Callable[[int, bytes], VenueProblem | None] = lambda status, body: None
    #: The perpetuals in a page of the endpoint `instruments`.
    parse_instruments: Callable[[Any], list[Instrument]] | None = None
    #: How many requests are sent at a time.
    concurrency: int = 8
    #: The header for the API key and the text before the key in it. The table of sources names the environment variable.
    key_header: str = ""
    key_prefix: str = ""
    #: Requests are made by asset, not by listed instrument.
    by_asset: bool = False
    #: The emulator's name for this host, where the venue has several.
    host: str = ""
    #: Makes the transport for a client, where requests don't go by plain HTTP.
    transport: Callable[[Any], Transport] | None = None

    def endpoint(self, name: str) -> Endpoint:
        return next(endpoint for endpoint in self.endpoints if endpoint.name == name)

    def raw_table(self, endpoint: Endpoint) -> str:
        return f"{self.name}__{endpoint.name}"
