"""CoinGlass v4: the emulator's venues summed up by day; percent, US dollars, errors in HTTP 200. Rates are stamped in seconds.

Alone: `python -m infra.emulator` and
`curl -H "CG-API-KEY: emulator" "$URL/coinglass/api/futures/open-interest/aggregated-history?symbol=BTC&interval=1d"`.
"""

from __future__ import annotations

import msgspec

from infra.emulator.messages import Ask
from infra.emulator.rendering import encode, plain
from infra.emulator.totals import Day, Totals
from infra.emulator.venue import Refused, Venue, route
from infra.emulator.venues.coingecko import NAMES


def closes(value: float, stamp: int) -> dict[str, object]:
    text = plain(value)
    return {"time": stamp, "open": text, "high": text, "low": text, "close": text}


class CoinGlass(Venue):
    name = "coinglass"
    root = "/api/futures"

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return encode({"code": "0", "msg": "success", "data": msgspec.Raw(data)})

    def _days(self, ask: Ask) -> list[tuple[int, Day]]:
        """Day's start and totals."""
        if ask.query.get("interval") != "1d":
            raise Refused("small_plan")
        (start, end), limit = ask.window("start_time", "end_time"), ask.limit(1000, 1000)
        days = Totals(self.world, tuple(NAMES)).days(ask.query.get("symbol", ""), ask.now)
        return [(day, total) for day, total in days.items() if (start or 0) <= day <= end][:limit]

    @route("open-interest/aggregated-history", calls=1)
    def open_interest(self, ask: Ask) -> object:
        return [closes(total.oi, day) for day, total in self._days(ask)]

    @route("funding-rate/oi-weight-history", calls=1)
    def funding(self, ask: Ask) -> object:
        return [closes(total.rate * 100, day // 1000) for day, total in self._days(ask) if total.rate is not None]

    @route("liquidation/aggregated-history", calls=1)
    def liquidations(self, ask: Ask) -> object:
        ask.required("exchange_list")
        return [
            {"time": day, "aggregated_long_liquidation_usd": total.longs, "aggregated_short_liquidation_usd": total.shorts}
            for day, total in self._days(ask)
        ]


VENUE = CoinGlass
