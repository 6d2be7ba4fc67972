"""The Graph: pools of on-chain perpetuals by day, and their liquidations, from subgraphs that the setting `subgraphs` names.

Facts: the venue page of The Graph. Host https://gateway.thegraph.com, GraphQL, a key is needed. The subgraphs share one public
schema, Messari's for perpetual futures (names and types unverified): US dollars of volume and open interest by pool and UTC day,
and each liquidation. Numbers are text. Pages go by id; all pages of a request are read at the block of the first, so that they
show one state. The id of a subgraph has to be looked up in The Graph's explorer. Messari's subgraph of GMX reads the Vault of its
version 1; the venue `gmx` is version 2, so a subgraph of either is named with its version.
Alone: `PERPLAKE_SUBGRAPHS=gmx_v1=<id> THEGRAPH_API_KEY=… perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec

from pipelines.endpoints import series
from pipelines.error_bodies import graphql_error_reader
from pipelines.records import Ms, Number, Record, Seconds
from pipelines.shapes import Stamped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import DAY, Window

WEIGHTS = {"requests": 1}
ROWS = 1000
#: The emulator's subgraphs.
EMULATED = ("gmx_v2=emulated",)

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
    """US dollars of a UTC day, open interest at its end. `day` is a number from the epoch on the wire, ms once read."""

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


error = graphql_error_reader(
    {"auth error": "key", "payment": "key", "api key": "key", "bad indexers": "transient", "timed out": "transient"}
)


def _rows(page: Any) -> Sequence[Any]:
    """The rows of a page. Raises ValueError where the indexer reports that they are wrong."""
    if page.data._meta.has_indexing_errors:
        raise ValueError("the subgraph reports indexing errors: its rows may be wrong")
    rows: Sequence[Any] = page.data.rows
    return rows


def _liquidations(page: Any) -> Sequence[Liquidation]:
    return [Liquidation(event.id, event.time, event.amount, event.position.side) for event in _rows(page)]


def _next(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    """The rows after the last id of a full page, at the same block."""
    assert request.body
    if len(rows) < ROWS:
        return None
    at = {"last": rows[-1].id, "block": {"number": page.data._meta.block.number}}
    return replace(request, body={**request.body, "variables": {**request.body["variables"], **at}})


def _endpoint(project: str, subgraph: str, name: str, query: str, record: type[Record], sent: Any, time: str) -> Endpoint:
    """`sent` is the type of a row on the wire, `record` that of the raw table."""
    operation = query.split()[1].split("(")[0]
    data = msgspec.defstruct("Data", [("_meta", Meta), ("rows", list[sent])])

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        days = window.whole_days
        # Days are numbers, the seconds of an event a BigInt, which is text.
        ends = [end // DAY if sent is Pool else str(end // 1000) for end in (days.start, days.end)]
        variables = {"from": ends[0], "to": ends[1], "last": "0x", "block": None}
        body = {"operationName": operation, "query": query, "variables": variables}
        yield Request(f"/api/subgraphs/id/{subgraph}", body=body, context={"project": project}, window=days, weights=WEIGHTS)

    return series(
        name,
        record,
        time,
        plan,
        instrument="project",
        key=("project", "id"),
        page=msgspec.defstruct("Body", [("data", data)]),
        rows=_rows if sent is record else _liquidations,
        next_page=_next,
        bulk=True,
        bar=DAY if sent is Pool else None,
        wire_type=sent,
        ignored_fields="pool",
    )


def _source(project: str, subgraph: str) -> Source:
    return Source(
        name="thegraph",
        venue=project,
        base_url="https://gateway.thegraph.com",
        # Limits are not documented.
        limits={"requests": Limit(5, 1)},
        error=error,
        key_header="Authorization",
        key_prefix="Bearer ",
        host="thegraph",
        endpoints=(
            _endpoint(project, subgraph, "pools", POOLS, Pool, Pool, "day"),
            _endpoint(project, subgraph, "liquidations", LIQUIDATIONS, Liquidation, Event, "time"),
        ),
    )


#: Without a project: the raw tables that all projects share.
SOURCE = _source("", "")


def expand_multi_venue(names: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each subgraph named as `project=id`; without names the emulator's own. Raises ValueError."""
    if not names and origin == "live":
        return (), ("thegraph is left out: name subgraphs by `project=id` in the setting subgraphs",)
    sources = []
    for name in names or EMULATED:
        project, _, subgraph = name.partition("=")
        if not project.isidentifier() or not subgraph.isalnum():
            raise ValueError(f"subgraphs: {name!r} is no `project=id`, such as gmx_v1=<the subgraph's id>")
        if project == "gmx":
            raise ValueError("subgraphs: GMX's versions are two protocols: name the subgraph's, gmx_v1 (Messari's) or gmx_v2")
        sources.append(_source(project, subgraph))
    return tuple(sources), ()
