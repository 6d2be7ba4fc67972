"""Dune: daily volume of on-chain perpetuals and daily liquidations on GMX, by SQL over decoded blocks.

Facts: the venue page of Dune. Host https://api.dune.com; a key and credits are needed. The queries are below; a window is their
only parameter. A query is executed, polled until the execution ends, and its result read page by page. Landing gets one body:
the final status with its cost, and all pages as they came. A line before the execution states its price, a line after it the
cost. After a lost connection the same execution is continued, so that it is paid once. Amounts are US dollars, null where none of
the trades has a price; a time is printed with its zone, or without one, and is UTC. The tables are those of Dune's spellbook:
`perpetual.trades` has GMX's version 1, `gmx_v2_arbitrum` version 2.
Alone: `DUNE_API_KEY=… perps fetch --mode live --venues dune --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from pipelines.client import Answer, Client
from pipelines.errors import AGAIN, Absent, Transient
from pipelines.records import MaybeNumber, Record, UtcMs
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.windows import DAY, Window, iso

ROOT = "/api/v1/"
#: Credits that a megabyte of results costs on the smallest plan.
CREDITS_PER_MB = 20
ROWS = 1000
#: Seconds between two polls of an execution: reads are limited too.
POLL = 2.0
#: Seconds after which an execution is given up; Dune itself ends one after half an hour.
LONGEST = 2700.0
#: States of an execution that has not ended; Dune ends one after half an hour.
RUNNING = ("QUERY_STATE_PENDING", "QUERY_STATE_EXECUTING")

#: By project, its version, and chain. A fill counts once. The table is partitioned by month.
VOLUME = """select date_trunc('day', block_time) as day, project, version, blockchain,
    sum(volume_usd) as volume_usd, count(*) as fills
from perpetual.trades
where block_month >= date_trunc('month', timestamp '{start}') and block_month <= date_trunc('month', timestamp '{end}')
    and block_time >= timestamp '{start}' and block_time < timestamp '{end}'
group by 1, 2, 3, 4
order by 1, 2, 3, 4"""
#: GMX v2 on Arbitrum; amounts are dollars, not 1e30.
LIQUIDATIONS = """select date_trunc('day', block_time) as day, 'gmx' as project, '2' as version, is_long,
    sum(size_delta_usd) as size_usd, count(*) as liquidations
from gmx_v2_arbitrum.position_decrease
where order_type = 'Liquidation' and block_date >= date '{start_day}' and block_date <= date '{end_day}'
    and block_time >= timestamp '{start}' and block_time < timestamp '{end}'
group by 1, 2, 3, 4
order by 1, 2, 3, 4"""


class Volume(Record):
    """US dollars a day."""

    day: UtcMs
    project: str
    blockchain: str
    volume_usd: MaybeNumber
    fills: int
    version: str = ""


class Liquidation(Record):
    """US dollars a day by side of the position."""

    day: UtcMs
    project: str
    is_long: bool
    size_usd: MaybeNumber
    liquidations: int
    version: str = ""


class Problem(msgspec.Struct):
    message: str = ""


class Status(msgspec.Struct):
    """The state of an execution, or an error."""

    state: str = ""
    error: Problem | str | None = None
    execution_id: str = ""
    execution_cost_credits: float | None = None


class Next(msgspec.Struct):
    next_offset: int | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"error": …}`: the kind follows from the status; a failed execution has an error in HTTP 200."""
    content = decode_or_none(body, Status)
    if content is None or content.error is None:
        return None
    message = content.error if isinstance(content.error, str) else content.error.message
    if status in (401, 402, 403):
        return VenueProblem("key", f"HTTP {status} {message}")
    return VenueProblem.by_status(status, message)


class Transport:
    """Executes a query and returns its whole result as one body."""

    def __init__(self, client: Client) -> None:
        self._client = client
        #: Ids of started executions by their SQL: a second attempt must not pay again.
        self._started: dict[str, str] = {}

    async def close(self) -> None:
        """It has no resources of its own."""

    async def get(self, url: str, request: Request) -> Answer:
        """Status, headers, body and URL: of the result, or of the first answer that has an error. Raises `Transient`."""
        assert request.body
        sql = request.body["sql"]
        name = f"dune {sql.partition('from ')[2].split()[0]}"
        if sql not in self._started:
            price = f"credits for its compute, failed or not, and {CREDITS_PER_MB} a megabyte of results at most"
            self._client.warn(f"{name}: executing, which costs {price}")
            answer = await self._call(request, "POST", "sql/execute", "writes", json=request.body)
            started = decode_or_none(answer[2], Status)
            if answer[0] != 200 or not started or not started.execution_id:
                return answer
            self._started[sql] = started.execution_id
        execution = f"execution/{self._started[sql]}/"
        answer, status = await self._poll(request, execution)
        if answer[0] != 200 or not status.state:
            return answer
        if status.state != "QUERY_STATE_COMPLETED":
            del self._started[sql]
            failed = {"state": status.state, "error": status.error or f"the execution ended as {status.state}"}
            return 200, answer[1], msgspec.json.encode(failed), url
        pages: list[bytes] = []
        offset: int | None = 0
        while offset is not None:
            page = await self._call(request, "GET", execution + "results", "reads", params={"limit": ROWS, "offset": offset})
            following = decode_or_none(page[2], Next)
            if page[0] != 200 or not following:
                return page
            pages.append(page[2])
            if (following.next_offset is not None and following.next_offset <= offset) or sum(
                map(len, pages)
            ) > self._client.most_bytes:
                raise Transient("dune", request.path_label, f"the result doesn't end after {len(pages)} pages", AGAIN)
            offset = following.next_offset
        size = sum(map(len, pages)) / 1e6
        cost = "unknown" if status.execution_cost_credits is None else f"{status.execution_cost_credits:g}"
        export = f"at most {size * CREDITS_PER_MB:.2g} for {size:.3f} MB of results"
        self._client.warn(f"{name}: cost {cost} credits to execute, and {export}")
        return 200, page[1], b'{"status":%s,"pages":[%s]}' % (answer[2], b",".join(pages)), url

    async def _poll(self, request: Request, execution: str) -> tuple[Answer, Status]:
        """The first answer that has an error or another state than the running ones."""
        begun = time.monotonic()
        while True:
            await asyncio.sleep(POLL)
            answer = await self._call(request, "GET", execution + "status", "reads")
            status = decode_or_none(answer[2], Status) or Status()
            if answer[0] != 200 or status.state not in RUNNING:
                return answer, status
            if time.monotonic() - begun > LONGEST:
                raise Absent("dune", request.path_label, f"its execution has not ended after {LONGEST / 60:.0f} minutes", AGAIN)

    async def _call(self, request: Request, method: str, path: str, limit: str, **content: Any) -> Answer:
        await self._client.wait({limit: 1})
        try:
            return await self._client.http(method, f"{self._client.base_url}{ROOT}{path}", **content)
        except (TimeoutError, ConnectionError) as problem:
            raise Transient("dune", request.path_label, str(problem), AGAIN) from problem


def _daily(name: str, record: type[Record], key: tuple[str, ...], query: str) -> Endpoint:
    """Whole days; one execution for all days of a window, since each execution costs."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        days = window.whole_days
        ends = {"start": iso(days.start), "end": iso(days.end)}
        values = {name: at.replace("T", " ").removesuffix("Z") for name, at in ends.items()}
        values |= {f"{name}_day": at[:10] for name, at in ends.items()}
        yield Request(ROOT + "sql/execute", body={"sql": query.format(**values)}, window=days)

    result: Any = enveloped("result.rows", list[record])  # type: ignore[valid-type]
    result_page, result_rows = result["page"], result["rows"]
    return Endpoint(
        name,
        record,
        key=key,
        time="day",
        plan=plan,
        page=msgspec.defstruct("Body", [("pages", list[result_page])]),  # type: ignore[valid-type]
        rows=lambda body: [row for page in body.pages for row in result_rows(page)],
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
        _daily("volume", Volume, ("project", "version", "blockchain", "day"), VOLUME),
        _daily("liquidations", Liquidation, ("project", "version", "is_long", "day"), LIQUIDATIONS),
    ),
)
