"""The Graph: pools of on-chain perpetuals by day and their liquidations, by subgraphs named in the setting `subgraphs`. A key.

Facts: `shared/venues/thegraph.md`. The queries stand below. They read subgraphs of one public schema, the one for perpetual
futures that Messari keeps (U: names and types): volume and open interest of each pool and day, each liquidation. Pages go by id,
all at the block of the first, so that they are of one state; numbers are texts. A subgraph's id has to be looked up.
Alone: `PERPLAKE_SUBGRAPHS=gmx=<id> THEGRAPH_API_KEY=… perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec

from pipelines.records import Ms, Number, Record, Seconds
from pipelines.shapes import Stamped, decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.windows import DAY, Window

WEIGHTS = {"requests": 1}
ROWS = 1000
#: What the emulator has a subgraph of.
EMULATED = ("gmx=emulated",)

POOLS = """query Pools($from: Int!, $to: Int!, $last: Bytes!, $block: Block_height) {
  _meta(block: $block) { block { number } hasIndexingErrors }
  rows: liquidityPoolDailySnapshots(
    first: 1000, orderBy: id, where: {days_gte: $from, days_lt: $to, id_gt: $last}, block: $block
  ) {
    id days pool { id } dailyVolumeUSD dailyLongOpenInterestUSD dailyShortOpenInterestUSD dailyTotalOpenInterestUSD
  }
}"""
LIQUIDATIONS = """query Liquidations($from: BigInt!, $to: BigInt!, $last: Bytes!, $block: Block_height) {
  _meta(block: $block) { block { number } hasIndexingErrors }
  rows: liquidates(first: 1000, orderBy: id, where: {timestamp_gte: $from, timestamp_lt: $to, id_gt: $last}, block: $block) {
    id timestamp amountUSD position { side }
  }
}"""


class Pool(Record):
    """US dollars, of a UTC day: `day` is its start in milliseconds once it is read; open interest stands at its end."""

    id: str
    day: int = msgspec.field(name="days")
    volume: Number = msgspec.field(name="dailyVolumeUSD")
    long_open_interest: Number = msgspec.field(name="dailyLongOpenInterestUSD")
    short_open_interest: Number = msgspec.field(name="dailyShortOpenInterestUSD")
    open_interest: Number = msgspec.field(name="dailyTotalOpenInterestUSD")

    def __post_init__(self) -> None:
        self.day *= DAY


class Liquidation(Record):
    """`amount` is US dollars, `side` the position's: `LONG` or `SHORT`."""

    id: str
    time: Ms
    amount: Number
    side: str


class Position(msgspec.Struct):
    side: Literal["LONG", "SHORT"]


class Event(Stamped):
    """A liquidation as it is sent."""

    id: str
    time: Seconds = msgspec.field(name="timestamp")
    amount: Number = msgspec.field(name="amountUSD")
    position: Position


class Block(msgspec.Struct):
    number: int


class Meta(msgspec.Struct):
    block: Block
    has_indexing_errors: bool = msgspec.field(name="hasIndexingErrors")


class Problem(msgspec.Struct):
    message: str


class ErrorBody(msgspec.Struct):
    errors: list[Problem] = []


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"errors": [{"message": …}]}` in HTTP 200."""
    said = decode_or_none(body, ErrorBody)
    if said is None or not said.errors:
        return None
    message = said.errors[0].message
    low = message.lower()
    if "auth error" in low or "payment" in low or "api key" in low:
        return VenueProblem("key", message)
    later = status >= 500 or "bad indexers" in low or "timed out" in low
    return VenueProblem("limited" if status == 429 else "transient" if later else "rejected", message)


def _whole(page: Any) -> Sequence[Any]:
    """The rows. Raises ValueError where the indexer says that they are wrong."""
    if page.data._meta.has_indexing_errors:
        raise ValueError("the subgraph says that it has indexing errors: what it holds may be wrong")
    rows: Sequence[Any] = page.data.rows
    return rows


def _liquidations(page: Any) -> Sequence[Liquidation]:
    return [Liquidation(event.id, event.time, event.amount, event.position.side) for event in _whole(page)]


def _next(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    """What comes after the last id of a full page, at the same block."""
    assert request.body
    if len(rows) < ROWS:
        return None
    at = {"last": rows[-1].id, "block": {"number": page.data._meta.block.number}}
    return replace(request, body={**request.body, "variables": {**request.body["variables"], **at}})


def _dataset(project: str, subgraph: str, name: str, query: str, record: type[Record], sent: Any, time: str) -> Endpoint:
    operation = query.split()[1].split("(")[0]
    data = msgspec.defstruct("Data", [("_meta", Meta), ("rows", list[sent])])

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        asked = window.whole_days
        # Days are counted; the seconds of an event are a whole number of another size, and so a text.
        ends = [end // DAY if sent is Pool else str(end // 1000) for end in (asked.start, asked.end)]
        variables = {"from": ends[0], "to": ends[1], "last": "0x", "block": None}
        body = {"operationName": operation, "query": query, "variables": variables}
        path = f"/api/subgraphs/id/{subgraph}"
        yield Request(path, body=body, context={"project": project}, window=asked, weights=WEIGHTS)

    return Endpoint(
        name,
        record,
        key=("project", "id"),
        time=time,
        plan=plan,
        page=msgspec.defstruct("Body", [("data", data)]),
        rows=_whole if sent is record else _liquidations,
        next_page=_next,
        context=("project",),
        bulk=True,
        bar=DAY if sent is Pool else None,
        wire_type=sent,
        ignored_fields=frozenset({"pool"}),
    )


def _source(project: str, subgraph: str) -> Source:
    return Source(
        name="thegraph",
        venue=project,
        base_url="https://gateway.thegraph.com",
        # Not documented: gently.
        limits={"requests": Limit(5, 1)},
        error=error,
        key_header="Authorization",
        key_prefix="Bearer ",
        host="thegraph",
        endpoints=(
            _dataset(project, subgraph, "pools", POOLS, Pool, Pool, "day"),
            _dataset(project, subgraph, "liquidations", LIQUIDATIONS, Liquidation, Event, "time"),
        ),
    )


#: Of no project: the raw tables of all of them.
SOURCE = _source("", "")


def expand_multi_venue(names: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each subgraph that is named as `project=id`; the emulator's own where none is. Raises ValueError."""
    if not names and origin == "live":
        return (), ("thegraph is left out: name subgraphs by `project=id` in the setting subgraphs",)
    found = []
    for name in names or EMULATED:
        project, _, subgraph = name.partition("=")
        if not project.isidentifier() or not subgraph.isalnum():
            raise ValueError(f"subgraphs: {name!r} is no `project=id`, such as gmx=<the subgraph's id>")
        found.append(_source(project, subgraph))
    return tuple(found), ()
