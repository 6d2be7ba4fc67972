"""Dune: queries that are executed, polled and paged. Table and window of a query are read, the rest of its SQL is not.

An execution is pending at the first poll, executing at the second and over at the third. Its only project is GMX, days without a
zone, as plain timestamps are printed; `Dune.zone` adds one.
Alone: `python -m infra.emulator`, then a POST to `$URL/dune/api/v1/sql/execute` with the header `X-Dune-API-Key: emulator`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.emulator.market import World
from infra.emulator.messages import Ask, InvalidParameter
from infra.emulator.rendering import encode, iso
from infra.emulator.totals import DAY, Totals
from infra.emulator.venue import Refused, Venue, route
from infra.emulator.venues.gmx import MARKETS

QUERY = re.compile(r"from (\S+)\s+where .*block_time >= timestamp '([^']+)' and block_time < timestamp '([^']+)'", re.DOTALL)
#: The table of trades has version 1 of the project, that of decreases version 2; here both are the same market.
PROJECT, CHAIN = "gmx", "arbitrum"
CREDITS = 0.5
TRADES, DECREASES = "perpetual.trades", "gmx_v2_arbitrum.position_decrease"
COLUMNS = {
    TRADES: ("day", "project", "version", "blockchain", "volume_usd", "fills"),
    DECREASES: ("day", "project", "version", "is_long", "size_usd", "liquidations"),
}
VERSIONS = {TRADES: "1", DECREASES: "2"}


@dataclass
class Execution:
    id: str
    submitted_at: int
    rows: list[dict[str, Any]] | None  # None: the query failed
    polls: int = 0

    @property
    def ended(self) -> bool:
        return self.polls >= 3

    @property
    def state(self) -> str:
        end = "QUERY_STATE_FAILED" if self.rows is None else "QUERY_STATE_COMPLETED"
        return ("QUERY_STATE_PENDING", "QUERY_STATE_EXECUTING", end)[min(self.polls, 3) - 1]

    def fields(self) -> dict[str, Any]:
        at = iso(self.submitted_at)
        return {
            "execution_id": self.id,
            "query_id": 0,
            "is_execution_finished": self.ended,
            "state": self.state,
            "submitted_at": at,
            "expires_at": iso(self.submitted_at + 90 * DAY),
            "execution_started_at": at,
            "execution_ended_at": at,
        }


def metadata(rows: list[dict[str, Any]], page: list[dict[str, Any]]) -> dict[str, Any]:
    names = list(rows[0]) if rows else []
    return {
        "column_names": names,
        "column_types": ["varchar"] * len(names),
        "row_count": len(page),
        "result_set_bytes": len(encode(page)),
        "total_row_count": len(rows),
        "total_result_set_bytes": len(encode(rows)),
        "datapoint_count": len(page) * len(names),
        "pending_time_millis": 1,
        "execution_time_millis": 1,
    }


class Dune(Venue):
    name = "dune"
    root = "/api/v1"
    #: What stands after a time: nothing, or ` UTC` for a `timestamp with time zone`.
    zone = ""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.executions: dict[str, Execution] = {}

    @route("sql/execute", writes=1)
    def execute(self, ask: Ask) -> object:
        sql = ask.json().get("sql")
        if not isinstance(sql, str):
            raise InvalidParameter("sql")
        execution = Execution(f"01EMULATED{len(self.executions):016d}", ask.now, self._result(sql, ask.now))
        self.executions[execution.id] = execution
        return {"execution_id": execution.id, "state": "QUERY_STATE_PENDING"}

    def _result(self, sql: str, now: int) -> list[dict[str, Any]] | None:
        """The rows of a query; None for one that the emulator does not know."""
        query = QUERY.search(sql)
        if query is None or query[1] not in COLUMNS:
            return None
        table, (start, end) = query[1], (int(np.datetime64(text, "ms").astype(np.int64)) for text in query.groups()[1:])
        sums: dict[tuple[object, ...], list[float]] = {}
        for base in MARKETS:
            for day, total in Totals(self.world, (PROJECT,)).days(base, now).items():
                at = f"{iso(day)[:10]} 00:00:00.000{self.zone}"
                values: dict[str | bool, float] = (
                    {CHAIN: total.volume} if table == TRADES else {False: total.shorts, True: total.longs}
                )
                for key, value in values.items() if start <= day < end else ():
                    sums.setdefault((at, PROJECT, VERSIONS[table], key), []).append(value)
        return [
            dict(zip(COLUMNS[table], (*key, sum(values), len(values)), strict=True))
            for key, values in sorted(sums.items(), key=str)
            if sum(values)
        ]

    def _execution(self, id: str) -> Execution:
        if id not in self.executions:
            raise Refused("unknown_path")
        return self.executions[id]

    @route("execution/{id}/status", reads=1)
    def status(self, ask: Ask, id: str) -> object:
        execution = self._execution(id)
        execution.polls += 1
        fields = execution.fields()
        if execution.state == "QUERY_STATE_COMPLETED":
            rows = execution.rows or []
            fields |= {"execution_cost_credits": CREDITS, "result_metadata": metadata(rows, rows)}
        elif execution.state == "QUERY_STATE_FAILED":
            fields["error"] = {"type": "syntax_error", "message": "Error: Line 1:1: mismatched input", "metadata": {"line": 1}}
        return fields

    @route("execution/{id}/results", reads=1)
    def results(self, ask: Ask, id: str) -> object:
        ask.unused("allow_partial_results")
        execution = self._execution(id)
        if execution.rows is None:
            raise Refused("failed_execution")
        limit, offset = ask.limit(32_000, 32_000), ask.integer("offset") or 0
        page = execution.rows[offset : offset + limit]
        fields = {**execution.fields(), "result": {"rows": page, "metadata": metadata(execution.rows, page)}}
        if offset + limit < len(execution.rows):
            following = f"{self.root}/execution/{id}/results?limit={limit}&offset={offset + limit}"
            fields |= {"next_offset": offset + limit, "next_uri": following}
        return fields


VENUE = Dune
