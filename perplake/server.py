"""`perps mcp`: the published copy for agents, by the Model Context Protocol (MCP), over stdio or HTTP on loopback.

    an agent ──► tools: tables, describe, query, explain, coverage, signals ──► perplake.lake ──► the published copy, read only

A query is one statement that reads, with limits on time, memory and rows; it reaches no file and no network. Every answer says of
which publication it is, and whether that is stale.

Alone: ``server(Lake(Settings())).run("stdio")``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from pydantic import Field
from starlette.types import ASGIApp

from assets.runtime.hosts import KnownHosts
from perplake.lake import COVERAGE, Lake
from perplake.published import asked, json_rows, question, within
from pipelines import __version__

SECONDS, MEMORY_MB, ROWS, CHARACTERS = 20, 1024, 1000, 200_000

INSTRUCTIONS = f"""\
perplake is a warehouse of crypto perpetual futures: funding, open interest, prices, liquidations, regimes, by venue and asset.
Begin with `tables`, then `describe` the table: each column has its unit. Times are UTC without a zone, days are UTC days, rates
and shares are fractions (0.0001 is 0.01 %), money is US dollars unless the column says otherwise. Null is unknown, never zero:
say how complete a number is (`coverage`, and the columns `coverage_*`, `completeness_class`, `*_venues`). If `origin` is
`synthetic`, the market is generated and not the real one: say so. `query` takes one SELECT in DuckDB's SQL and gives at most
{ROWS} rows: sum up in SQL. `explain` traces a row of a `fct_*` table to the bytes that the venue sent. Nothing here is advice.
"""

Rows = list[dict[str, Any]]


def server(lake: Lake) -> MCPServer:
    """The server of a published copy."""
    mcp = MCPServer("perplake", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

    def tool(function: Callable[..., dict[str, Any]]) -> None:
        mcp.add_tool(function, annotations=reads)

    @tool
    def tables() -> dict[str, Any]:
        """The tables that can be queried, with what a row of each is."""
        with _expected():
            return {**_about(lake), "tables": lake.tables()}

    @tool
    def describe(table: Annotated[str, Field(description="such as `daily_assets`")]) -> dict[str, Any]:
        """The columns of a table: their unit, their meaning, what null means."""
        with _expected():
            units = lake.units(table)
            columns = {name: {"unit": units.get(name), "description": text} for name, text in lake.describe(table).items()}
            return {**_about(lake), "table": table, "description": lake.tables().get(table, ""), "columns": columns}

    @tool
    def query(
        sql: Annotated[str, Field(description="one SELECT in DuckDB's SQL; tables need no schema's name")],
        rows: Annotated[int, Field(description="most rows to give", ge=1, le=ROWS)] = 100,
    ) -> dict[str, Any]:
        """The answer to a question in SQL. `truncated` says that there are more rows than were given."""
        with _expected():
            found, truncated = _answer(lake, sql, rows)
            return {**_about(lake), "rows": found, "truncated": truncated}

    @tool
    def explain(
        fact: Annotated[str, Field(description="a table `fct_*`, such as `fct_funding_rates`")],
        instrument_id: Annotated[str, Field(description="such as `binance:BTCUSDT`")],
        at: Annotated[str, Field(description="the row's time, UTC, ISO: `2025-10-10T16:00:00`")],
    ) -> dict[str, Any]:
        """The way of a number back to its bytes: the fact's row, the venue's record, the request, the response and its hash."""
        with _expected():
            steps = [{"title": step.title, **step.content} for step in lake.explain(fact, instrument_id, at, SECONDS)]
            [answer] = _short([json.dumps(steps, default=str)])
            return {**_about(lake), "steps": json.loads(answer)}

    @tool
    def coverage() -> dict[str, Any]:
        """Observations seen and expected, by dataset and source, over the whole window; `coverage_daily` has them by day."""
        with _expected():
            return {**_about(lake), "coverage": _answer(lake, COVERAGE, ROWS)[0]}

    @tool
    def signals(
        since: Annotated[str | None, Field(description="the `cursor` of an earlier answer, or a day: `2025-10-10`")] = None,
        rows: Annotated[int, Field(description="most signals to give, the earliest first", ge=1, le=ROWS)] = 100,
    ) -> dict[str, Any]:
        """Changes of regime and red flags since a cursor. Give `cursor` as `since` the next time; `truncated`: ask again now."""
        with _expected():
            found = lake.signals(since)
            cursor = found[:rows][-1].key if found else since
            given = _short([json.dumps(signal.as_json()) for signal in found[:rows]])
            return {
                **_about(lake),
                "signals": [json.loads(signal) for signal in given],
                "cursor": cursor,
                "truncated": len(found) > rows,
            }

    return mcp


def http(lake: Lake, hosts: list[str]) -> ASGIApp:
    """The server over HTTP at `/mcp`, for requests to loopback or to one of these hosts."""
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # `KnownHosts` does it
    return KnownHosts(server(lake).streamable_http_app(stateless_http=True, transport_security=unchecked), hosts)


def _answer(lake: Lake, sql: str, most: int) -> tuple[Rows, bool]:
    """The first rows of an answer, and whether there are more. Raises `ValueError` for one that takes or is too long."""
    with lake.session() as db, asked(), within(db, SECONDS):
        rows = list(islice(json_rows(question(db, sql).limit(most + 1)), most + 1))
    return [json.loads(row) for row in _short(rows[:most])], len(rows) > most


def _short(parts: list[str]) -> list[str]:
    """An answer's parts in JSON. Raises `ValueError` where they are longer than an agent reads."""
    if (length := sum(map(len, parts))) > CHARACTERS:
        raise ValueError(f"the answer has {length:,} characters, more than {CHARACTERS:,}: ask for fewer rows or columns")
    return parts


def _about(lake: Lake) -> dict[str, Any]:
    """Of what an answer is."""
    published = lake.published
    return {
        "market": published.market,
        "origin": published.origin,
        "window": f"{published.window_start} to {published.window_end} UTC, half-open",
        "published_at": published.published_at.isoformat(),
        "stale": lake.stale or None,
    }


@contextmanager
def _expected() -> Iterator[None]:
    """Errors that the agent can mend, as the SDK hands them on."""
    try:
        yield
    except ValueError as problem:
        raise ToolError(str(problem)) from None
