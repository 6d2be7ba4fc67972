"""Amberdata: two of the emulator's venues by their own names; an envelope with a title and the URL of the next page.

Alone: `python -m infra.emulator` and
`curl -H "x-api-key: emulator" "$URL/amberdata/markets/futures/funding-rates/information?exchange=binance"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from infra.emulator.carried import VENUES, Carried, Hour
from infra.emulator.messages import Ask
from infra.emulator.store import MS_HOUR
from infra.emulator.venue import Refused, Venue, route

HOST = "https://api.amberdata.com"
MOST = 1000
#: The field of an hour that a series has; it is stamped with the hour's end. Bars have all fields and the hour's start.
SERIES = {"funding-rates": "rate", "open-interest": "oi", "ohlcv": ""}


class Amberdata(Venue):
    name = "amberdata"
    root = "/markets/futures"

    @route("funding-rates/information", requests=1)
    def information(self, ask: Ask) -> object:
        exchange, venue = self._venue(ask)
        rows = [
            {"exchange": exchange, "instrument": venue.native(x), "startDate": x.listed_at, "endDate": ask.now}
            for x in venue.listings(ask.now)
        ]
        return self._page(ask, rows)

    @route("{series:funding-rates|open-interest|ohlcv}/{instrument}", requests=1)
    def series(self, ask: Ask, series: str, instrument: str) -> object:
        ask.unused("timeInterval")
        exchange, venue = self._venue(ask)
        start, end = ask.moments("startDate", "endDate")
        if end - start > 24 * MS_HOUR:
            raise Refused("long_window")
        late = MS_HOUR if SERIES[series] else 0
        hours = venue.hours(instrument.removesuffix("USDT"), start - late, end - late, ask.now)
        return self._page(ask, [row for hour in hours if (row := self._row(series, exchange, instrument, hour))])

    def _venue(self, ask: Ask) -> tuple[str, Carried]:
        exchange = ask.choice("exchange", *VENUES)
        ask.choice("timeFormat", "milliseconds")
        return exchange, Carried(self.world, exchange)

    def _page(self, ask: Ask, rows: Sequence[dict[str, Any]]) -> object:
        first = ask.integer("pageToken") or 0
        following = (
            f"{HOST}{ask.path}?{urlencode({**ask.query.sent, 'pageToken': first + MOST})}" if first + MOST < len(rows) else ""
        )
        payload = {"metadata": {"next": following}, "data": rows[first : first + MOST]}
        return {"status": 200, "title": "OK", "description": "Successful request", "payload": payload}

    @staticmethod
    def _row(series: str, exchange: str, instrument: str, hour: Hour) -> dict[str, Any] | None:
        field = SERIES[series]
        named = {"exchange": exchange, "instrument": instrument}
        if not field:
            prices = {"open": hour.open, "high": hour.high, "low": hour.low, "close": hour.close, "volume": hour.volume}
            return {**named, "exchangeTimestamp": hour.opened_at, **prices}
        value = getattr(hour, field)
        name = "fundingRate" if field == "rate" else "value"
        return None if value is None else {**named, "exchangeTimestamp": hour.opened_at + MS_HOUR, name: value}


VENUE = Amberdata
