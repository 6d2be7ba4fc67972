"""CFTC: the weekly report on CME's futures, as Socrata gives it: texts throughout, a Tuesday's row from the Friday after.

The contracts are a made-up share of what the store's first venue has of the coin.
Alone: `python -m infra.emulator` and `curl "$URL/cftc/resource/gpe5-46if.json"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from infra.emulator.store import MS_HOUR
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode, iso, latest

#: By code: the name, the coin, coins in a contract, and its share of what the first venue has.
CONTRACTS = {
    "133741": ("BITCOIN", "BTC", 5.0, 0.4),
    "133742": ("MICRO BITCOIN", "BTC", 0.1, 0.01),
    "146021": ("ETHER CASH SETTLED", "ETH", 50.0, 0.2),
    "146022": ("MICRO ETHER", "ETH", 0.1, 0.01),
}
DAY = 24 * MS_HOUR
WEEK = 7 * DAY
#: The first Tuesday of 1970 was the sixth of January; the report comes on Friday at half past three in New York.
TUESDAY, PUBLISHED = 5 * DAY, 3 * DAY + 20 * MS_HOUR + MS_HOUR // 2


class Cftc(Venue):
    name = "cme"
    limits: Mapping[str, tuple[int, int]] = {"requests": (60, 60)}

    def answer(self, ask: Ask) -> Answer:
        if ask.path != "/resource/gpe5-46if.json":
            raise Refusal(Answer(encode({"code": "dataset.missing", "error": True, "message": "Not found"}), 404))
        where = ask.query.get("$where", "")
        codes = re.findall(r"'(\d{6})'", where) or list(CONTRACTS)
        bounds = [int(ms) for ms in (self._moment(where, ">="), self._moment(where, "<"))]
        rows = list(self._rows(ask.now, codes, bounds[0], bounds[1]))[: int(ask.query.get("$limit", "1000"))]
        return Answer(encode(rows), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        body = {"code": "too_many_requests", "error": True, "message": "Throttled"}
        return Answer(encode(body), 429, charges={"requests": 1})

    def error(self, ask: Ask) -> Answer:
        return Answer(encode({"code": "internal_error", "error": True, "message": "Internal error"}), 500)

    @staticmethod
    def _moment(where: str, sign: str) -> int:
        found = re.search(rf"yyyy_mm_dd {sign} '([^']+)'", where)
        if not found:
            message = "Could not parse SoQL query: the emulator wants both ends of the dates"
            raise Refusal(Answer(encode({"code": "query.soql.invalid", "error": True, "message": message}), 400))
        return Ask("GET", "", {"at": found[1]}, {}, b"", 0).moment("at") or 0

    def _rows(self, now: int, codes: list[str], start: int, end: int) -> Iterator[object]:
        market = self.world.market("binance")
        first = -((TUESDAY - start) // WEEK) * WEEK + TUESDAY
        for tuesday in range(first, min(end, now - PUBLISHED), WEEK):
            for code in sorted(set(codes) & set(CONTRACTS)):
                name, coin, size, share = CONTRACTS[code]
                held = latest(market.open_interest(coin), "size", tuesday + 20 * MS_HOUR) * share / size
                if held == held:
                    yield {
                        "report_date_as_yyyy_mm_dd": iso(tuesday).removesuffix("Z"),
                        "market_and_exchange_names": f"{name} - CHICAGO MERCANTILE EXCHANGE",
                        "contract_market_name": name,
                        "cftc_contract_market_code": code,
                        "open_interest_all": str(round(held)),
                        "contract_units": f"({size:g} {coin})",
                    }


VENUE = Cftc
