"""Dune: volume of on-chain perpetuals and GMX's liquidations by day, by queries over decoded blocks; for a key and credits.

Facts: `shared/venues/dune.md`. The queries stand below; a window is their only parameter. One is executed, polled until it ends
and paged through; what lands is one body: how the execution ended, with what it cost, and every page of rows as it came. What it
may cost is said before and what it cost after; a connection lost on the way goes on with the same execution and pays once.
Alone: `DUNE_API_KEY=… perps fetch --mode live --venues dune --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from pipelines.client import Answer, Client
from pipelines.errors import AGAIN, Transient
from pipelines.records import IsoMs, Number, Record
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.windows import DAY, Window, iso

ROOT = "/api/v1/"
TIER = "medium"
#: Credits that a megabyte of results costs on the smallest plan.
CREDITS_PER_MB = 20
ROWS = 1000
#: Seconds between two looks at an execution: reads are limited too.
POLL = 2.0
#: While it is one of these it is looked at again: an execution ends by itself after half an hour.
RUNNING = ("QUERY_STATE_PENDING", "QUERY_STATE_EXECUTING")

#: By project and chain (U: the columns). A fill counts once; `project` is Dune's name for a venue.
VOLUME = """select cast(date_trunc('day', block_time) as timestamp) as day, project, blockchain,
    sum(volume_usd) as volume_usd, count(*) as fills
from perpetual.trades
where block_time >= timestamp '{start}' and block_time < timestamp '{end}'
group by 1, 2, 3
order by 1, 2, 3"""
#: GMX v2 on Arbitrum (U: table and columns); dollars are dollars there, no longer in 1e30.
LIQUIDATIONS = """select cast(date_trunc('day', block_time) as timestamp) as day, 'gmx' as project, is_long,
    sum(size_delta_usd) as size_usd, count(*) as liquidations
from gmx_v2_arbitrum.position_decrease
where order_type = 'Liquidation' and block_time >= timestamp '{start}' and block_time < timestamp '{end}'
group by 1, 2, 3
order by 1, 2, 3"""


class Volume(Record):
    """US dollars a day."""

    day: IsoMs
    project: str
    blockchain: str
    volume_usd: Number
    fills: int


class Liquidation(Record):
    """US dollars a day by side of the position."""

    day: IsoMs
    project: str
    is_long: bool
    size_usd: Number
    liquidations: int


class Problem(msgspec.Struct):
    message: str = ""


class Status(msgspec.Struct):
    """Where an execution is, or what is said instead of that."""

    state: str = ""
    error: Problem | str | None = None
    execution_id: str = ""
    execution_cost_credits: float | None = None


class Next(msgspec.Struct):
    next_offset: int | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"error": …}`, by the status; an execution that failed says so in HTTP 200."""
    said = decode_or_none(body, Status)
    if said is None or said.error is None:
        return None
    message = said.error if isinstance(said.error, str) else said.error.message
    if status in (401, 402, 403):
        return VenueProblem("key", f"HTTP {status} {message}")
    return VenueProblem.by_status(status, message)


class Transport:
    """Executes a query and brings its whole result as one body."""

    def __init__(self, client: Client) -> None:
        self._client = client
        #: Executions under way, by their query: asking again must not pay again.
        self._begun: dict[str, str] = {}

    async def close(self) -> None:
        """There is nothing of its own to close."""

    async def get(self, url: str, request: Request) -> Answer:
        """Status, headers, body and URL: the result, or the first answer that is none. Raises `Transient`."""
        assert request.body
        query, say = request.body["sql"], self._client.warn
        name = f"dune {request.body['sql'].partition('from ')[2].split()[0]}"
        if query not in self._begun:
            plan = f"credits for the compute of tier {TIER}, failed or not, and {CREDITS_PER_MB} a megabyte of results at most"
            say(f"{name}: executing, which costs {plan}")
            answer = await self._call(request, "POST", "sql/execute", "writes", json=request.body)
            begun = decode_or_none(answer[2], Status)
            if answer[0] != 200 or not begun or not begun.execution_id:
                return answer
            self._begun[query] = begun.execution_id
        execution = f"execution/{self._begun[query]}/"
        told = Status(RUNNING[0])
        while told.state in RUNNING:
            await asyncio.sleep(POLL)
            ended = await self._call(request, "GET", execution + "status", "reads")
            told = decode_or_none(ended[2], Status) or Status()
            if ended[0] != 200 or not told.state:
                return ended
        if told.state != "QUERY_STATE_COMPLETED":
            del self._begun[query]
            failed = {"state": told.state, "error": told.error or f"the execution ended as {told.state}"}
            return 200, ended[1], msgspec.json.encode(failed), url
        pages: list[bytes] = []
        offset: int | None = 0
        while offset is not None:
            page = await self._call(request, "GET", execution + "results", "reads", params={"limit": ROWS, "offset": offset})
            following = decode_or_none(page[2], Next)
            if page[0] != 200 or not following:
                return page
            pages.append(page[2])
            offset = following.next_offset
        size = sum(map(len, pages)) / 1e6
        cost = "unknown" if told.execution_cost_credits is None else f"{told.execution_cost_credits:g}"
        say(f"{name}: cost {cost} credits to execute, and at most {size * CREDITS_PER_MB:.2g} for {size:.3f} MB of results")
        return 200, page[1], b'{"status":%s,"pages":[%s]}' % (ended[2], b",".join(pages)), url

    async def _call(self, request: Request, method: str, path: str, spends: str, **content: Any) -> Answer:
        await self._client.limiter.acquire({spends: 1})
        try:
            return await self._client.http(method, f"{self._client.base_url}{ROOT}{path}", **content)
        except (TimeoutError, ConnectionError) as problem:
            raise Transient("dune", request.path_label, str(problem), AGAIN) from problem


def _daily(name: str, record: type[Record], key: tuple[str, ...], query: str) -> Endpoint:
    """Whole days, all of a window by one execution: each costs."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        asked = window.whole_days
        start, end = (iso(ms).replace("T", " ").removesuffix("Z") for ms in (asked.start, asked.end))
        yield Request(ROOT + "sql/execute", body={"sql": query.format(start=start, end=end), "performance": TIER}, window=asked)

    result = msgspec.defstruct("Result", [("rows", list[record])])  # type: ignore[valid-type]
    page = msgspec.defstruct("Results", [("result", result)])
    body = msgspec.defstruct("Body", [("pages", list[page])])  # type: ignore[valid-type]
    return Endpoint(
        name,
        record,
        key=key,
        time="day",
        plan=plan,
        page=body,
        rows=lambda body: [row for page in body.pages for row in page.result.rows],
        bulk=True,
        bar=DAY,
    )


SOURCE = Source(
    name="dune",
    venue="dune",
    base_url="https://api.dune.com",
    # The free plan's.
    limits={"writes": Limit(15, 60), "reads": Limit(40, 60)},
    error=error,
    key_header="X-Dune-API-Key",
    concurrency=2,
    transport=Transport,
    endpoints=(
        _daily("volume", Volume, ("project", "blockchain", "day"), VOLUME),
        _daily("liquidations", Liquidation, ("project", "is_long", "day"), LIQUIDATIONS),
    ),
)
