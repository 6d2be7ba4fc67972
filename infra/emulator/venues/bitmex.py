"""BitMEX, as it was until 2026-09-23: ISO times, JSON numbers, bars stamped with their end, oldest first; nothing after the end.

Bitcoin is XBT. XBTUSD is inverse, a dollar a contract; coins in dollars are quanto, settled in bitcoin; the store's
liquidations and history of open interest have no endpoint. Alone: `python -m infra.emulator` and `curl
"$URL/bitmex/api/v1/instrument/active"`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.wire import Answer, Ask, Refusal, Rows, Usage, Venue, encode, iso, latest, number

CLOSED = int(np.datetime64("2026-09-23T04:00", "ms").astype(np.int64))
#: Satoshis that a quanto contract pays per dollar of price.
SATOSHIS = 100
MOST = 500


def refusal(message: str, name: str, status: int = 400) -> Refusal:
    return Refusal(Answer(encode({"error": {"message": message, "name": name}}), status, charges={"requests": 1}))


def symbol(listing: Listing) -> str:
    return ("XBT" if listing.base == "BTC" else listing.listed) + "USD"


class BitMex(Venue):
    name = "bitmex"
    profile = Profile(0.02, tilt=0.00001, decimals=6, lists=("BTC", "ETH", "SOL", "XRP"))
    limits: Mapping[str, tuple[int, int]] = {"requests": (30, 60)}

    def answer(self, ask: Ask) -> Answer:
        now = min(ask.now, CLOSED)
        try:
            match ask.path.removeprefix("/api/v1/"):
                case "instrument/active":
                    body = encode([self._contract(x, now) for x in self.trading(now)])
                case "funding":
                    body = self._funding(ask, self._listing(ask), now)
                case "trade/bucketed" if ask.query.get("binSize") == "1h":
                    body = self._bars(ask, self._listing(ask), now)
                case _:
                    raise refusal("Not Found", "HTTPError", 404)
        except ValueError as problem:
            raise refusal(f"'{problem}' is invalid.", "ValidationError") from None
        return Answer(body, charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("Rate limit exceeded, retry in 1 seconds.", "RateLimitError", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("The system is currently overloaded. Please try again later.", "HTTPError", 503).answer

    def _listing(self, ask: Ask) -> Listing:
        for listing in self.market.listings(ask.now):
            if symbol(listing) == ask.query.get("symbol"):
                return listing
        raise ValueError("symbol")

    def _contract(self, listing: Listing, now: int) -> object:
        coin, inverse = listing.listed, listing.base == "BTC"
        held = self.market.open_interest(coin)
        size, mark = latest(held, "size", now), latest(held, "mark", now)
        bitcoin = self.market.price("BTC", "mark", now)
        worth = size * mark
        contracts = worth if inverse else worth / bitcoin * 1e8 / SATOSHIS / mark
        return {
            "symbol": symbol(listing),
            "rootSymbol": "XBT" if inverse else coin,
            "typ": "FFWCSX",
            "state": "Open",
            "listing": iso(listing.listed_at),
            "quoteCurrency": "USD",
            "settlCurrency": "XBt",
            "isQuanto": not inverse,
            "isInverse": inverse,
            "multiplier": -100_000_000 if inverse else SATOSHIS,
            "underlyingToPositionMultiplier": None,
            "fundingRate": self.market.running_rate(coin, now),
            "markPrice": number(mark),
            "openInterest": None if contracts != contracts else round(contracts),
            "openValue": None if worth != worth else round(worth / bitcoin * 1e8),
        }

    def _page(self, ask: Ask, rows: Rows, until: int) -> bytes:
        """Both ends inclusive, oldest first unless turned, from `start` on."""
        count, start = ask.integer("count") or 100, ask.integer("start") or 0
        if not 1 <= count <= MOST:
            raise ValueError("count")
        end = ask.moment("endTime")
        span = rows.span(ask, ask.moment("startTime"), until if end is None else min(end, until), start + count)
        return rows.array(slice(span.start + start, span.stop), descending=ask.query.get("reverse") == "true")

    def _funding(self, ask: Ask, listing: Listing, now: int) -> bytes:
        def render(f: Funding) -> Rows:
            said = {"symbol": symbol(listing), "fundingInterval": "2000-01-01T08:00:00.000Z"}
            columns = zip(f.settled_at.tolist(), f.rate.tolist(), strict=True)
            cells = [{"timestamp": iso(at), **said, "fundingRate": rate, "fundingRateDaily": rate * 3} for at, rate in columns]
            return Rows(f.settled_at, list(map(encode, cells)))

        return self._page(ask, self.market.rows("funding", listing.listed, self.market.funding(listing.listed), render), now)

    def _bars(self, ask: Ask, listing: Listing, now: int) -> bytes:
        def render(bars: Candles) -> Rows:
            ends = bars.opened_at + MS_HOUR
            names = ("timestamp", "open", "high", "low", "close", "homeNotional", "foreignNotional")
            columns = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.quote_volume)
            rows = zip(map(iso, ends.tolist()), *(x.tolist() for x in columns), strict=True)
            cells = [{"symbol": symbol(listing), "trades": 1, **dict(zip(names, row, strict=True))} for row in rows]
            return Rows(ends, list(map(encode, cells)))

        rows = self.market.rows("bars", listing.listed, self.market.candles(listing.listed, "trade"), render)
        return self._page(ask, rows, now)


VENUE = BitMex
