"""Kaiko: two of the emulator's venues; numbers as texts, milliseconds, an envelope with the URL of the next page.

Instruments are `btc-usdt`. Alone: `python -m infra.emulator` and
`curl -H "X-Api-Key: emulator" "$URL/kaiko/v2/data/derivatives.v2/reference?exchange=binc&instrument_class=perpetual-future"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from infra.emulator.carried import Carried, Hour
from infra.emulator.venue import KEY
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode, plain

EXCHANGES = {"binc": "binance", "bbit": "bybit"}
HOST = "https://us.market-api.kaiko.io"
MOST = 1000


def refusal(message: str, status: int) -> Refusal:
    return Refusal(Answer(encode({"message": message}), status, charges={"requests": 1}))


class Kaiko(Venue):
    name = "kaiko"
    limits: Mapping[str, tuple[int, int]] = {"requests": (5, 1)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("X-Api-Key") != KEY:
            raise refusal("Unauthorized", 401)
        query = ask.query
        match ask.path.removeprefix("/v2/data/").split("/"):
            case ["derivatives.v2", "reference"]:
                rows = self._contracts(query.get("exchange", ""), ask.now)
            case ["derivatives.v2", "risk"]:
                rows = [self._risk(x) for x in self._hours(ask, query.get("exchange", ""), query.get("instrument", ""))]
            case ["trades.v1", "exchanges", exchange, "perpetual-future", instrument, "aggregations", "ohlcv"]:
                rows = [self._bar(x) for x in self._hours(ask, exchange, instrument)]
            case _:
                raise refusal("Not found", 404)
        return Answer(self._page(ask, rows), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("Too many requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("Internal server error", 500).answer

    def _page(self, ask: Ask, rows: Sequence[dict[str, Any]]) -> bytes:
        """The page that a token names, and the URL of the next."""
        size, first = min(ask.integer("page_size") or 100, MOST), ask.integer("continuation_token") or 0
        following = None
        if first + size < len(rows):
            following = f"{HOST}{ask.path}?{urlencode({**ask.query, 'continuation_token': first + size})}"
        said = {"query": dict(ask.query), "timestamp": ask.now, "data": rows[first : first + size]}
        return encode(said | {"result": "success", "next_url": following})

    def _carried(self, exchange: str) -> Carried:
        if exchange not in EXCHANGES:
            raise refusal(f"exchange {exchange} is not known", 400)
        return Carried(self.world, EXCHANGES[exchange])

    def _contracts(self, exchange: str, now: int) -> list[dict[str, Any]]:
        return [
            {"exchange": exchange, "instrument_class": "perpetual-future", "instrument": f"{x.listed.lower()}-usdt"}
            | {"base_asset": x.listed.lower(), "quote_asset": "usdt"}
            for x in self._carried(exchange).listings(now)
        ]

    def _hours(self, ask: Ask, exchange: str, instrument: str) -> list[Hour]:
        start, end = ask.moment("start_time"), ask.moment("end_time")
        if start is None or end is None or ask.query.get("interval") != "1h":
            raise refusal("start_time, end_time and interval are wanted", 400)
        hours = list(self._carried(exchange).hours(instrument.removesuffix("-usdt").upper(), start, end, ask.now))
        return hours if ask.query.get("sort") == "asc" else hours[::-1]

    @staticmethod
    def _risk(hour: Hour) -> dict[str, Any]:
        numbers = {"24h_volume": hour.volume * 24, "open_interest": hour.oi, "funding_rate": hour.rate}
        told = {name: None if value is None else plain(value) for name, value in numbers.items()}
        return {"timestamp": hour.opened_at, **told, "predicted_funding_rate": told["funding_rate"]}

    @staticmethod
    def _bar(hour: Hour) -> dict[str, Any]:
        numbers = {"open": hour.open, "high": hour.high, "low": hour.low, "close": hour.close, "volume": hour.volume}
        return {"timestamp": hour.opened_at} | {name: plain(value) for name, value in numbers.items()}


VENUE = Kaiko
