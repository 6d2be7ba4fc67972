"""What a source is: its host, its limits, its endpoints as datasets. The modules in `sources/` are values of these types.

A `Endpoint` says how a window becomes requests (`plan`), how a page becomes rows (`decode`, `rows`), whether there is
another page (`more`), and what identifies a row (`key`). Everything else (asking, retrying, landing, quarantine, Arrow,
merging) is the same for all and lives in `client`, `fetch` and `load`.
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
    """At most `weight` within `seconds`, as the venue documents it."""

    weight: int
    seconds: int


@dataclass(frozen=True)
class Instrument:
    """What a plan needs to know of one perpetual: the venue's symbol and the asset behind it."""

    symbol: str
    base_asset: str


@dataclass(frozen=True)
class Request:
    """One question to a venue.

    `params` go into the query of a GET, `body` into a POST. `context` are columns that the answer doesn't carry.
    `window` is what was asked for: a row outside of it is no answer to this request (None where the endpoint takes none).
    `clip_start` where it takes an end alone: rows from before the window come along, and are not loaded. `clip_end` where rows
    from after it do: pages that are counted from the newest row have neither end.
    `weights` says what it costs of which of the source's limits. `instrument` is whom it asks about (fetch fills it in): rows
    of another are no answer either.
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
        """The path, with what tells one POST from another."""
        said = self.body or {}
        return f"{self.path} {said.get('type', '') or said.get('operationName', '')}".rstrip()


Plan = Callable[[Instrument, Window], Iterable[Request]]
Rows = Callable[[Any], Sequence[Any]]
NextPage = Callable[[Request, Any, Sequence[Any]], Request | None]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of one source, and its raw table.

    `plan(instrument, window)` gives the requests; a `bulk` endpoint is asked once for all instruments. `page` is the type
    of a body (default: a list of records), `rows` takes the records out of it, `decode` replaces JSON altogether.
    `next_page(request, page, rows)` gives the request for the next page, or None.

    `time` is the column that a window cuts, in milliseconds; a snapshot has none and is keyed by when it was observed
    besides. `bar` is the length of a bar in milliseconds: a bar that was not over when it was observed is not stored.
    `history_days` is how many days back the venue answers. The rows of an `is_event` endpoint are events: no row may mean that
    nothing happened.
    `empty` tells whether a page holds nothing at all, where `rows` skips much of it.
    `ignored_fields` are documented fields that we do not read; any other new name is reported. `wire_type` is the type whose
    names to look for where a record is not the wire's own (several levels made one). `allow_identical_pages`: two instruments
    may have the same bytes, such as rates that stand at the default in rows that name no instrument.
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
        return msgspec.json.Decoder(page, strict=False, dec_hook=records.read_iso).decode

    @cached_property
    def schema(self) -> pa.Schema:
        return records.arrow_schema(self.record, self.context)

    def is_empty(self, page: Any, rows: Sequence[Any]) -> bool:
        """Whether a page holds nothing at all, not even what `rows` skips."""
        return self.empty(page) if self.empty else not rows

    @property
    def snapshot(self) -> bool:
        return self.time is None

    @property
    def primary_key(self) -> tuple[str, ...]:
        return (*self.key, "_observed_at") if self.snapshot else self.key


@dataclass(frozen=True)
class VenueProblem:
    """An error that a venue states in a body, and what kind it is."""

    kind: Literal["limited", "blocked", "rejected", "transient", "key"]
    message: str

    @classmethod
    def by_status(cls, status: int, message: str) -> VenueProblem:
        """Where the status tells the kind: 429 too often, 5xx for now, else refused."""
        return cls("limited" if status == 429 else "transient" if status >= 500 else "rejected", message)


class Transport(Protocol):
    """What asks instead of plain HTTP: an archive in S3, a client library."""

    async def get(self, url: str, request: Request) -> tuple[int, Mapping[str, str], bytes, str]:
        """Status, headers, body and URL of the answer to a request."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Source:
    """A system that is asked: one module, one row in the table of sources, one raw table per dataset.

    One that speaks for several venues (its row names none) is a `Source` for each of them, under the same name, and its rows
    name their venue.
    """

    name: str
    venue: str
    base_url: str
    limits: Mapping[str, Limit]
    endpoints: tuple[Endpoint, ...]
    #: The venue's own error in a status and a body; None where there is none.
    error: Callable[[int, bytes], VenueProblem | None] = lambda status, body: None
    #: The perpetuals in a page of the dataset `instruments`.
    parse_instruments: Callable[[Any], list[Instrument]] | None = None
    concurrency: int = 8
    #: The header that a key goes into, and what stands before it there. The table of sources names the variable that holds it.
    key_header: str = ""
    key_prefix: str = ""
    #: Whether it is asked about assets and not about instruments that it lists.
    by_asset: bool = False
    #: The emulator's name for this host, where the venue has several.
    host: str = ""
    #: Made for a client, where requests don't go by plain HTTP.
    transport: Callable[[Any], Transport] | None = None

    def endpoint(self, name: str) -> Endpoint:
        return next(d for d in self.endpoints if d.name == name)

    def raw_table(self, dataset: Endpoint) -> str:
        return f"{self.name}__{dataset.name}"
