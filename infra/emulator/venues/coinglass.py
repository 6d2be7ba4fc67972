"""CoinGlass v4: the emulator's venues summed up by day; percent, US dollars, errors in HTTP 200. Rates are stamped in seconds.

Alone: `python -m infra.emulator` and
`curl -H "CG-API-KEY: emulator" "$URL/coinglass/api/futures/open-interest/aggregated-history?symbol=BTC&interval=1d"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.totals import Day, Totals
from infra.emulator.venues.coingecko import KEY, NAMES
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode, plain

ROOT = "/api/futures/"


def refusal(code: str, message: str) -> Refusal:
    return Refusal(Answer(encode({"code": code, "msg": message}), charges={"calls": 1}))


def closes(value: float, stamp: int) -> dict[str, object]:
    said = plain(value)
    return {"time": stamp, "open": said, "high": said, "low": said, "close": said}


class CoinGlass(Venue):
    name = "coinglass"
    limits: Mapping[str, tuple[int, int]] = {"calls": (30, 60)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("CG-API-KEY") != KEY:
            raise refusal("401", "API key missing.")
        endpoint, symbol = ask.path.removeprefix(ROOT), ask.query.get("symbol", "")
        if ask.query.get("interval") != "1d":
            raise refusal("403", "Upgrade plan")
        try:
            start, end, limit = ask.integer("start_time") or 0, ask.integer("end_time") or ask.now, ask.integer("limit") or 1000
        except ValueError:
            raise refusal("400", "Bad request") from None
        days = Totals(self.world, tuple(NAMES)).days(symbol, ask.now)
        asked = [(day, total) for day, total in days.items() if start <= day <= end][:limit]
        match endpoint:
            case "open-interest/aggregated-history":
                data = [closes(total.oi, day) for day, total in asked]
            case "funding-rate/oi-weight-history":
                data = [closes(total.rate * 100, day // 1000) for day, total in asked if total.rate is not None]
            case "liquidation/aggregated-history" if "exchange_list" in ask.query:
                data = [self._forced(day, total) for day, total in asked]
            case _:
                raise refusal("404", "Not found")
        return Answer(encode({"code": "0", "msg": "success", "data": data}), charges={"calls": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("429", "Too Many Requests").answer

    def error(self, ask: Ask) -> Answer:
        return refusal("500", "Server Error").answer

    @staticmethod
    def _forced(day: int, total: Day) -> dict[str, object]:
        names = ("aggregated_long_liquidation_usd", "aggregated_short_liquidation_usd")
        return {"time": day, names[0]: total.longs, names[1]: total.shorts}


VENUE = CoinGlass
