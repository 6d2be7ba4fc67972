"""CryptoQuant v1: the emulator's venues summed up by day for bitcoin, ether and XRP; newest first, dates as text, percent.

Alone: `python -m infra.emulator` and
`curl -H "Authorization: Bearer emulator" "$URL/cryptoquant/v1/btc/market-data/open-interest?exchange=all_exchange&window=day"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from infra.emulator.messages import Ask
from infra.emulator.rendering import iso
from infra.emulator.totals import Day, Totals
from infra.emulator.venue import Venue, route
from infra.emulator.venues.coingecko import NAMES

SERIES: Mapping[str, Callable[[Day], dict[str, float]]] = {
    "open-interest": lambda total: {"open_interest": total.oi},
    "funding-rates": lambda total: {"funding_rates": (total.rate or 0) * 100},
    "liquidations": lambda total: {"long_liquidations_usd": total.longs, "short_liquidations_usd": total.shorts},
}


class CryptoQuant(Venue):
    name = "cryptoquant"

    @route("/v1/{asset:btc|eth|xrp}/market-data/{series:open-interest|funding-rates|liquidations}", calls=1)
    def days(self, ask: Ask, asset: str, series: str) -> object:
        ask.required("exchange")
        ask.choice("window", "day")
        first, last = ask.query.get("from", "19700101"), ask.query.get("to", "99991231")
        rows = [
            {"date": iso(day)[:10], **SERIES[series](total)}
            for day, total in Totals(self.world, tuple(NAMES)).days(asset.upper(), ask.now).items()
            if first[:8] <= iso(day)[:10].replace("-", "") <= last[:8]
        ]
        page = rows[::-1][: ask.limit(100, 100_000)]
        return {"status": {"code": 200, "message": "success"}, "result": {"window": "DAY", "data": page}}


VENUE = CryptoQuant
