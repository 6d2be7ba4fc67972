"""Kaiko: two of the emulator's venues; numbers as texts, milliseconds, an envelope with the URL of the next page.

Instruments are `btc-usdt`. Alone: `python -m infra.emulator` and
`curl -H "X-Api-Key: emulator" "$URL/kaiko/v2/data/derivatives.v2/reference?exchange=binc&instrument_class=perpetual-future"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from infra.emulator.carried import Carried, Hour
from infra.emulator.messages import Ask
from infra.emulator.rendering import plain
from infra.emulator.venue import Refused, Venue, route

EXCHANGES = {"binc": "binance", "bbit": "bybit"}
HOST = "https://us.market-api.kaiko.io"
MOST = 1000


class Kaiko(Venue):
    name = "kaiko"
    root = "/v2/data"

    @route("derivatives.v2/reference", requests=1)
    def contracts(self, ask: Ask) -> object:
        exchange = ask.query.get("exchange", "")
        rows = [
            {"exchange": exchange, "instrument_class": "perpetual-future", "instrument": f"{x.listed.lower()}-usdt"}
            | {"base_asset": x.listed.lower(), "quote_asset": "usdt"}
            for x in self._carried(exchange).listings(ask.now)
        ]
        return self._page(ask, rows)

    @route("derivatives.v2/risk", requests=1)
    def risk(self, ask: Ask) -> object:
        hours = self._hours(ask, ask.query.get("exchange", ""), ask.query.get("instrument", ""))
        return self._page(ask, [self._risk(hour) for hour in hours])

    @route("trades.v1/exchanges/{exchange}/perpetual-future/{instrument}/aggregations/ohlcv", requests=1)
    def candles(self, ask: Ask, exchange: str, instrument: str) -> object:
        return self._page(ask, [self._bar(hour) for hour in self._hours(ask, exchange, instrument)])

    def _page(self, ask: Ask, rows: Sequence[dict[str, Any]]) -> object:
        """The page of a token, and the URL of the next."""
        ask.unused("instrument_class", "interval", "sort")
        size, first = min(ask.integer("page_size") or 100, MOST), ask.integer("continuation_token") or 0
        following = None
        if first + size < len(rows):
            following = f"{HOST}{ask.path}?{urlencode({**ask.query.sent, 'continuation_token': first + size})}"
        envelope = {"query": ask.query.sent, "timestamp": ask.now, "result": "success", "next_url": following}
        return {**envelope, "data": rows[first : first + size]}

    def _carried(self, exchange: str) -> Carried:
        if exchange not in EXCHANGES:
            raise Refused("unknown_exchange", exchange=exchange)
        return Carried(self.world, EXCHANGES[exchange])

    def _hours(self, ask: Ask, exchange: str, instrument: str) -> list[Hour]:
        ask.choice("interval", "1h")
        start, end = ask.moments("start_time", "end_time")
        hours = list(self._carried(exchange).hours(instrument.removesuffix("-usdt").upper(), start, end, ask.now))
        return hours if ask.query.get("sort") == "asc" else hours[::-1]

    @staticmethod
    def _risk(hour: Hour) -> dict[str, Any]:
        numbers = {"24h_volume": hour.volume * 24, "open_interest": hour.oi, "funding_rate": hour.rate}
        texts = {name: None if value is None else plain(value) for name, value in numbers.items()}
        return {"timestamp": hour.opened_at, **texts, "predicted_funding_rate": texts["funding_rate"]}

    @staticmethod
    def _bar(hour: Hour) -> dict[str, Any]:
        numbers = {"open": hour.open, "high": hour.high, "low": hour.low, "close": hour.close, "volume": hour.volume}
        return {"timestamp": hour.opened_at} | {name: plain(value) for name, value in numbers.items()}


VENUE = Kaiko
