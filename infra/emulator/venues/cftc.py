"""CFTC: the weekly report on CME's futures, as Socrata gives it: text throughout, a Tuesday's row from the Friday after.

The contracts are a made-up share of the open interest of the store's first venue.
Alone: `python -m infra.emulator` and `curl "$URL/cme/resource/gpe5-46if.json?..."` with both ends of the dates in `$where`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from infra.emulator.market import latest
from infra.emulator.messages import Ask, Parameters
from infra.emulator.rendering import iso
from infra.emulator.store import MS_HOUR
from infra.emulator.venue import Refused, Venue, route

#: By code: the name, the coin, coins in a contract, and its share of the first venue's open interest.
CONTRACTS = {
    "133741": ("BITCOIN", "BTC", 5.0, 0.4),
    "133742": ("MICRO BITCOIN", "BTC", 0.1, 0.01),
    "146021": ("ETHER CASH SETTLED", "ETH", 50.0, 0.2),
    "146022": ("MICRO ETHER", "ETH", 0.1, 0.01),
    "177741": ("SOL", "SOL", 500.0, 0.1),
    "177742": ("MICRO SOL", "SOL", 25.0, 0.01),
    "176740": ("XRP", "XRP", 50_000.0, 0.1),
    "176741": ("MICRO XRP", "XRP", 2_500.0, 0.01),
}
DAY = 24 * MS_HOUR
WEEK = 7 * DAY
#: The first Tuesday of 1970 was the sixth of January; the report is published on Friday at half past three in New York.
TUESDAY, PUBLISHED = 5 * DAY, 3 * DAY + 20 * MS_HOUR + MS_HOUR // 2


class Cftc(Venue):
    name = "cme"

    @route("/resource/gpe5-46if.json", requests=1)
    def reports(self, ask: Ask) -> object:
        ask.unused("$order")
        where = ask.query.get("$where", "")
        codes = re.findall(r"'(\d{6})'", where) or list(CONTRACTS)
        start, end = (self._bound(ask, where, sign) for sign in (">=", "<"))
        return list(self._rows(ask.now, codes, start, end))[: ask.integer("$limit") or 1000]

    @staticmethod
    def _bound(ask: Ask, where: str, sign: str) -> int:
        """One end of the dates of a query, in ms."""
        date = re.search(rf"yyyy_mm_dd {sign} '([^']+)'", where)
        if not date:
            raise Refused("no_dates")
        return replace(ask, query=Parameters({"date": date[1]})).moment("date") or 0

    def _rows(self, now: int, codes: list[str], start: int, end: int) -> Iterator[object]:
        open_interest = self.world.market("binance").open_interest
        first = -((TUESDAY - start) // WEEK) * WEEK + TUESDAY
        for tuesday in range(first, min(end, now - PUBLISHED), WEEK):
            for code in sorted(set(codes) & set(CONTRACTS)):
                name, coin, size, share = CONTRACTS[code]
                contracts = latest(open_interest(coin), "size", tuesday + 20 * MS_HOUR) * share / size
                if contracts == contracts:
                    yield {
                        "report_date_as_yyyy_mm_dd": iso(tuesday).removesuffix("Z"),
                        "market_and_exchange_names": f"{name} - CHICAGO MERCANTILE EXCHANGE",
                        "contract_market_name": name,
                        "cftc_contract_market_code": code,
                        "open_interest_all": str(round(contracts)),
                        "contract_units": f"({size:g} {coin})",
                    }


VENUE = Cftc
