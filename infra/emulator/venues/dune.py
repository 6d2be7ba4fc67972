"""Dune: queries that are executed, polled and paged through. It reads a query's table and window, and nothing else of its SQL.

An execution is pending at the first look, executing at the second and over at the third. GMX is the one project that it knows.
Alone: `python -m infra.emulator`, then a POST to `$URL/dune/api/v1/sql/execute` with the header `X-Dune-API-Key: emulator`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from infra.emulator.totals import DAY, Totals
from infra.emulator.venues.coingecko import KEY
from infra.emulator.venues.gmx import MARKETS
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, World, encode, iso

QUERY = re.compile(r"from (\S+)\s+where .*block_time >= timestamp '([^']+)' and block_time < timestamp '([^']+)'", re.DOTALL)
PROJECT, CHAIN = "gmx", "arbitrum"
CREDITS = 0.5


def refusal(message: str, status: int, spends: str = "reads") -> Refusal:
    return Refusal(Answer(encode({"error": message}), status, charges={spends: 1}))


@dataclass
class Execution:
    submitted_at: int
    rows: list[dict[str, Any]] | None  # None: the query failed
    looks: int = 0

    @property
    def state(self) -> str:
        ended = "QUERY_STATE_FAILED" if self.rows is None else "QUERY_STATE_COMPLETED"
        return ("QUERY_STATE_PENDING", "QUERY_STATE_EXECUTING", ended)[min(self.looks, 3) - 1]


class Dune(Venue):
    name = "dune"
    limits: Mapping[str, tuple[int, int]] = {"writes": (15, 60), "reads": (40, 60)}

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.executions: dict[str, Execution] = {}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("X-Dune-API-Key") != KEY:
            raise refusal("invalid API Key", 401)
        match ask.path.removeprefix("/api/v1/").split("/"):
            case ["sql", "execute"] if ask.method == "POST":
                return self._execute(ask)
            case ["execution", name, "status"] if name in self.executions:
                return self._status(name)
            case ["execution", name, "results"] if name in self.executions:
                return self._results(ask, name)
            case _:
                raise refusal("not found: Query not found or private", 404)

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("too many requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("internal error", 500).answer

    def _execute(self, ask: Ask) -> Answer:
        try:
            asked = QUERY.search(msgspec.json.decode(ask.body)["sql"])
        except (msgspec.DecodeError, KeyError, TypeError):
            raise refusal("invalid request payload", 400, "writes") from None
        rows = self._rows(asked[1], self._time(asked[2]), self._time(asked[3]), ask.now) if asked else None
        name = f"01EMULATED{len(self.executions):016d}"
        self.executions[name] = Execution(ask.now, rows)
        return Answer(encode({"execution_id": name, "state": "QUERY_STATE_PENDING"}), charges={"writes": 1})

    @staticmethod
    def _time(text: str) -> int:
        return int(np.datetime64(text, "ms").astype(np.int64))

    def _rows(self, table: str, start: int, end: int, now: int) -> list[dict[str, Any]] | None:
        days = [(day, base, total) for base in MARKETS for day, total in Totals(self.world, ("gmx",)).days(base, now).items()]
        sums: dict[tuple[object, ...], list[float]] = {}
        for day, _, total in days:
            if start <= day < end:
                at = f"{iso(day)[:10]} 00:00:00.000 UTC"
                if table == "perpetual.trades":
                    sums.setdefault((at, PROJECT, CHAIN), []).append(total.volume)
                elif table == "gmx_v2_arbitrum.position_decrease":
                    sums.setdefault((at, PROJECT, False), []).append(total.shorts)
                    sums.setdefault((at, PROJECT, True), []).append(total.longs)
                else:
                    return None
        names = ("blockchain", "volume_usd", "fills") if table == "perpetual.trades" else ("is_long", "size_usd", "liquidations")
        return [
            dict(zip(("day", "project", *names), (*key, sum(values), len(values)), strict=True))
            for key, values in sorted(sums.items(), key=str)
            if sum(values)
        ]

    def _told(self, name: str) -> dict[str, Any]:
        run = self.executions[name]
        at = {"submitted_at": iso(run.submitted_at), "expires_at": iso(run.submitted_at + 90 * DAY)}
        at |= {"execution_started_at": iso(run.submitted_at), "execution_ended_at": iso(run.submitted_at)}
        ended = run.looks >= 3
        return {"execution_id": name, "query_id": 0, "is_execution_finished": ended, "state": run.state, **at}

    def _status(self, name: str) -> Answer:
        run = self.executions[name]
        run.looks += 1
        told = self._told(name)
        if run.state == "QUERY_STATE_COMPLETED":
            told |= {"execution_cost_credits": CREDITS, "result_metadata": self._metadata(run.rows or [], run.rows or [])}
        elif run.state == "QUERY_STATE_FAILED":
            told["error"] = {"type": "syntax_error", "message": "Error: Line 1:1: mismatched input", "metadata": {"line": 1}}
        return Answer(encode(told), charges={"reads": 1})

    @staticmethod
    def _metadata(rows: list[dict[str, Any]], page: list[dict[str, Any]]) -> dict[str, Any]:
        names = list(rows[0]) if rows else []
        told = {"column_names": names, "column_types": ["varchar"] * len(names), "row_count": len(page)}
        told |= {"result_set_bytes": len(encode(page)), "total_row_count": len(rows), "total_result_set_bytes": len(encode(rows))}
        return told | {"datapoint_count": len(page) * len(names), "pending_time_millis": 1, "execution_time_millis": 1}

    def _results(self, ask: Ask, name: str) -> Answer:
        rows = self.executions[name].rows
        if rows is None:
            raise refusal("the execution failed", 400)
        limit, offset = ask.integer("limit") or 32_000, ask.integer("offset") or 0
        page = rows[offset : offset + limit]
        told = {**self._told(name), "result": {"rows": page, "metadata": self._metadata(rows, page)}}
        if offset + limit < len(rows):
            following = f"/api/v1/execution/{name}/results?limit={limit}&offset={offset + limit}"
            told |= {"next_offset": offset + limit, "next_uri": following}
        return Answer(encode(told), charges={"reads": 1})


VENUE = Dune
