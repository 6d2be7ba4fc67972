"""The Graph: one subgraph, `emulated`, of GMX's pools by day and its liquidations, of which operation and variables are read.

Pages go by id, at a block that moves by one each hour; a thousand rows at most. Errors come in HTTP 200. Alone: `python -m
infra.emulator`, then a POST to `$URL/thegraph/api/subgraphs/id/emulated` with the header `Authorization: Bearer emulator`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from infra.emulator.store import MS_HOUR
from infra.emulator.totals import DAY, Totals
from infra.emulator.venues.coingecko import KEY
from infra.emulator.venues.gmx import MARKETS
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode

PATH = "/api/subgraphs/id/"
SUBGRAPH, PROJECT = "emulated", "gmx"
MOST = 1000


def refusal(message: str, status: int = 200) -> Refusal:
    return Refusal(Answer(encode({"errors": [{"message": message}]}), status, charges={"requests": 1}))


class TheGraph(Venue):
    name = "thegraph"
    limits: Mapping[str, tuple[int, int]] = {"requests": (5, 1)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("Authorization") != f"Bearer {KEY}":
            raise refusal("auth error: API key not found")
        if ask.path != PATH + SUBGRAPH or ask.method != "POST":
            raise refusal("subgraph not found")
        try:
            body = msgspec.json.decode(ask.body)
            operation, variables = body["operationName"], body["variables"]
            first, end, last = int(variables["from"]), int(variables["to"]), variables["last"]
            block = (variables["block"] or {"number": ask.now // MS_HOUR})["number"]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as problem:
            raise refusal(f"Invalid value: {problem!r}") from None
        if block * MS_HOUR > ask.now:
            raise refusal(f"bad indexers: block {block} is not yet indexed")
        match operation:
            case "Pools":
                rows = self._pools(first, end, block * MS_HOUR)
            case "Liquidations":
                rows = self._liquidations(first * 1000, end * 1000, block * MS_HOUR)
            case _:
                raise refusal(f"Unknown operation: {operation}")
        page = sorted((row for row in rows if row["id"] > last), key=lambda row: row["id"])[:MOST]
        meta = {"block": {"number": block}, "hasIndexingErrors": False}
        return Answer(encode({"data": {"_meta": meta, "rows": page}}), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("Too many requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("bad indexers: {0x1: Unavailable(no status)}").answer

    def _pools(self, first: int, end: int, now: int) -> Iterator[dict[str, Any]]:
        totals = Totals(self.world, (PROJECT,))
        for base, (_, _, market) in MARKETS.items():
            for day, total in totals.days(base, now).items():
                if first * DAY <= day < end * DAY:
                    number = day // DAY
                    amounts = {"dailyVolumeUSD": total.volume, "dailyLongOpenInterestUSD": total.oi}
                    amounts |= {"dailyShortOpenInterestUSD": total.oi * 0.8, "dailyTotalOpenInterestUSD": total.oi * 1.8}
                    texts = {name: repr(amount) for name, amount in amounts.items()}
                    pool = market.lower()
                    yield {"id": f"{pool}{number:08x}", "days": number, "pool": {"id": pool}, **texts}

    def _liquidations(self, start: int, end: int, now: int) -> Iterator[dict[str, Any]]:
        for base in MARKETS:
            forced = self.world.market(PROJECT).liquidations(base)
            if forced is None:
                continue
            for at, price, size, long in zip(forced.time, forced.price, forced.size, forced.long, strict=True):
                if start <= at < min(end, now):
                    number = f"0x{int(at):012x}{base.encode().hex()}"
                    told = {"amountUSD": repr(float(price * size)), "position": {"side": "LONG" if long else "SHORT"}}
                    yield {"id": number, "timestamp": str(int(at) // 1000), **told}


VENUE = TheGraph
