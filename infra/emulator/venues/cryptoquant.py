"""CryptoQuant v1: the emulator's venues summed up by day for bitcoin and ether; newest first, dates as text, percent.

Alone: `python -m infra.emulator` and
`curl -H "Authorization: Bearer emulator" "$URL/cryptoquant/v1/btc/market-data/open-interest?exchange=all_exchange&window=day"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.totals import Totals
from infra.emulator.venues.coingecko import KEY, NAMES
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode, iso

ASSETS = {"btc": "BTC", "eth": "ETH"}


def refusal(code: int, message: str) -> Refusal:
    return Refusal(Answer(encode({"status": {"code": code, "message": message}}), code, charges={"calls": 1}))


class CryptoQuant(Venue):
    name = "cryptoquant"
    limits: Mapping[str, tuple[int, int]] = {"calls": (20, 60)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("Authorization") != f"Bearer {KEY}":
            raise refusal(401, "Unauthorized")
        match ask.path.strip("/").split("/"):
            case ["v1", asset, "market-data", endpoint] if asset in ASSETS:
                pass
            case _:
                raise refusal(404, "Not found")
        if "exchange" not in ask.query or ask.query.get("window") != "day":
            raise refusal(400, "Bad request")
        first, last = ask.query.get("from", "19700101"), ask.query.get("to", "99991231")
        rows = []
        for day, total in Totals(self.world, tuple(NAMES)).days(ASSETS[asset], ask.now).items():
            said = {
                "open-interest": {"open_interest": total.oi},
                "funding-rates": {"funding_rates": (total.rate or 0) * 100},
                "liquidations": {"long_liquidations_usd": total.longs, "short_liquidations_usd": total.shorts},
            }
            if endpoint not in said:
                raise refusal(404, "Not found")
            if first[:8] <= iso(day)[:10].replace("-", "") <= last[:8]:
                rows.append({"date": iso(day)[:10], **said[endpoint]})
        rows.reverse()
        body = {
            "status": {"code": 200, "message": "success"},
            "result": {"window": "DAY", "data": rows[: int(ask.query.get("limit", "100"))]},
        }
        return Answer(encode(body), charges={"calls": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal(429, "Too Many Requests").answer

    def error(self, ask: Ask) -> Answer:
        return refusal(500, "Internal Server Error").answer


VENUE = CryptoQuant
