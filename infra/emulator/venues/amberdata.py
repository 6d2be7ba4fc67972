"""Amberdata: two of the emulator's venues by their own names; an envelope with a title and the URL of the next page.

Alone: `python -m infra.emulator` and
`curl -H "x-api-key: emulator" "$URL/amberdata/markets/futures/funding-rates/information?exchange=binance"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from infra.emulator.carried import VENUES, Carried, Hour
from infra.emulator.store import MS_HOUR
from infra.emulator.venue import KEY
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode

HOST = "https://api.amberdata.com"
MOST = 1000
#: What a series tells of an hour; what is looked at is told at the hour's end.
SERIES = {"funding-rates": "rate", "open-interest": "oi", "ohlcv": ""}


def refusal(title: str, message: str, status: int) -> Refusal:
    return Refusal(Answer(encode({"status": status, "title": title, "description": message}), status, charges={"requests": 1}))


class Amberdata(Venue):
    name = "amberdata"
    limits: Mapping[str, tuple[int, int]] = {"requests": (5, 1)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("x-api-key") != KEY:
            raise refusal("UNAUTHORIZED", "Invalid API key", 401)
        exchange = ask.query.get("exchange", "")
        if exchange not in VENUES or ask.query.get("timeFormat") != "milliseconds":
            raise refusal("BAD REQUEST", "exchange and timeFormat are wanted", 400)
        venue = Carried(self.world, exchange)
        match ask.path.removeprefix("/markets/futures/").split("/"):
            case ["funding-rates", "information"]:
                listed = venue.listings(ask.now)
                rows = [
                    {"exchange": exchange, "instrument": venue.native(x), "startDate": x.listed_at, "endDate": ask.now}
                    for x in listed
                ]
            case [series, instrument] if series in SERIES:
                start, end = ask.moment("startDate"), ask.moment("endDate")
                if start is None or end is None or end - start > 24 * MS_HOUR:
                    raise refusal("BAD REQUEST", "a window of a day at most is wanted", 400)
                late = MS_HOUR if SERIES[series] else 0
                hours = venue.hours(instrument.removesuffix("USDT"), start - late, end - late, ask.now)
                rows = [row for hour in hours if (row := self._row(series, exchange, instrument, hour))]
            case _:
                raise refusal("NOT FOUND", "no such endpoint", 404)
        return Answer(self._page(ask, rows), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("TOO MANY REQUESTS", "rate limit exceeded", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("INTERNAL SERVER ERROR", "please try again", 500).answer

    def _page(self, ask: Ask, rows: Sequence[dict[str, Any]]) -> bytes:
        first = ask.integer("pageToken") or 0
        following = f"{HOST}{ask.path}?{urlencode({**ask.query, 'pageToken': first + MOST})}" if first + MOST < len(rows) else ""
        payload = {"metadata": {"next": following}, "data": rows[first : first + MOST]}
        return encode({"status": 200, "title": "OK", "description": "Successful request", "payload": payload})

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
