"""The Graph: one subgraph, `emulated`, with GMX's pools by day and its liquidations; operation and variables are read.

Pages go by id, at a block that advances by one each hour; a thousand rows at most. Errors come in HTTP 200. Alone: `python -m
infra.emulator`, then a POST to `$URL/thegraph/api/subgraphs/id/emulated` with the header `Authorization: Bearer emulator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.emulator.messages import Ask, InvalidParameter
from infra.emulator.store import MS_HOUR
from infra.emulator.totals import DAY, Totals
from infra.emulator.venue import Refused, Venue, route
from infra.emulator.venues.gmx import MARKETS, SHORTS

PROJECT = "gmx"
MOST = 1000


class TheGraph(Venue):
    name = "thegraph"

    @route("/api/subgraphs/id/emulated", requests=1)
    def query(self, ask: Ask) -> object:
        body = ask.json()
        try:
            operation, variables = body["operationName"], body["variables"]
            first, end, last = int(variables["from"]), int(variables["to"]), variables["last"]
            block = (variables["block"] or {"number": ask.now // MS_HOUR})["number"]
        except (KeyError, TypeError) as problem:
            raise InvalidParameter(repr(problem)) from None
        if block * MS_HOUR > ask.now:
            raise Refused("unknown_block", block=block)
        match operation:
            case "Pools":
                rows = self._pools(first, end, block * MS_HOUR)
            case "Liquidations":
                rows = self._liquidations(first * 1000, end * 1000, block * MS_HOUR)
            case _:
                raise Refused("unknown_operation", operation=operation)
        page = sorted((row for row in rows if row["id"] > last), key=lambda row: row["id"])[:MOST]
        return {"data": {"_meta": {"block": {"number": block}, "hasIndexingErrors": False}, "rows": page}}

    def _pools(self, first: int, end: int, now: int) -> Iterator[dict[str, Any]]:
        totals = Totals(self.world, (PROJECT,))
        for base, (_, _, market) in MARKETS.items():
            for day, total in totals.days(base, now).items():
                number, pool = day // DAY, market.lower()
                if first <= number < end:
                    amounts = {
                        "dailyVolumeUSD": total.volume,
                        "dailyLongOpenInterestUSD": total.oi,
                        "dailyShortOpenInterestUSD": total.oi * SHORTS,
                        "dailyTotalOpenInterestUSD": total.oi * (1 + SHORTS),
                    }
                    texts = {name: repr(amount) for name, amount in amounts.items()}
                    yield {"id": f"{pool}{number:08x}", "days": number, "pool": {"id": pool}, **texts}

    def _liquidations(self, start: int, end: int, now: int) -> Iterator[dict[str, Any]]:
        for base in MARKETS:
            forced = self.world.market(PROJECT).liquidations(base)
            if forced is None:
                continue
            for at, price, size, long in zip(forced.time, forced.price, forced.size, forced.long, strict=True):
                if start <= at < min(end, now):
                    event = {"amountUSD": repr(float(price * size)), "position": {"side": "LONG" if long else "SHORT"}}
                    yield {"id": f"0x{int(at):012x}{base.encode().hex()}", "timestamp": str(int(at) // 1000), **event}


VENUE = TheGraph
