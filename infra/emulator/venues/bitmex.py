"""BitMEX until 2026-09-23: ISO times, JSON numbers, bars stamped with their end, oldest first, no rows after the closure.

Bitcoin is XBT. XBTUSD is inverse, a dollar a contract; other coins in dollars are quanto, settled in bitcoin. The store's
liquidations and history of open interest have no endpoint.
Alone: `python -m infra.emulator` and `curl "$URL/bitmex/api/v1/instrument/active"`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infra.emulator.market import Snapshot
from infra.emulator.messages import Answer, Ask
from infra.emulator.rendering import Rows, iso, number
from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.venue import Venue, route

CLOSED = int(np.datetime64("2026-09-23T04:00", "ms").astype(np.int64))
#: Satoshis that a quanto contract pays per dollar of price.
SATOSHIS = 100
MOST = 500


class BitMex(Venue):
    name = "bitmex"
    root = "/api/v1"
    profile = Profile(0.02, tilt=0.00001, decimals=6, lists=("BTC", "ETH", "SOL", "XRP"))

    def symbol(self, listing: Listing) -> str:
        return ("XBT" if listing.base == "BTC" else listing.listed) + "USD"

    def answer(self, ask: Ask) -> Answer:
        return super().answer(replace(ask, now=min(ask.now, CLOSED)))

    def _listing(self, ask: Ask) -> Listing:
        return self.listing(ask.required("symbol"), ask.now)

    @route("instrument/active", requests=1)
    def instruments(self, ask: Ask) -> object:
        return [self._contract(x) for x in self.snapshots(ask.now)]

    def _contract(self, at: Snapshot) -> object:
        inverse, value = at.listing.base == "BTC", at.size * at.mark
        bitcoin = self.market.price("BTC", "mark", at.now)
        contracts = value if inverse else value / bitcoin * 1e8 / SATOSHIS / at.mark
        return {
            "symbol": self.symbol(at.listing),
            "rootSymbol": "XBT" if inverse else at.listing.listed,
            "typ": "FFWCSX",
            "state": "Open",
            "listing": iso(at.listing.listed_at),
            "quoteCurrency": "USD",
            "settlCurrency": "XBt",
            "isQuanto": not inverse,
            "isInverse": inverse,
            "multiplier": -100_000_000 if inverse else SATOSHIS,
            "underlyingToPositionMultiplier": None,
            "fundingRate": at.rate,
            "markPrice": number(at.mark),
            "openInterest": None if contracts != contracts else round(contracts),
            "openValue": None if value != value else round(value / bitcoin * 1e8),
        }

    @staticmethod
    def _page(ask: Ask, rows: Rows) -> bytes:
        """Both ends inclusive, oldest first unless `reverse`; `start` is the number of rows to skip."""
        count, skipped, end = ask.limit(100, MOST, "count"), ask.integer("start") or 0, ask.moment("endTime")
        span = rows.span(ask, ask.moment("startTime"), ask.now if end is None else min(end, ask.now), skipped + count)
        return rows.array(slice(span.start + skipped, span.stop), descending=ask.query.get("reverse") == "true")

    @route("funding", requests=1)
    def funding(self, ask: Ask) -> bytes:
        listing = self._listing(ask)

        def render(f: Funding) -> Rows:
            columns = {"timestamp": list(map(iso, f.settled_at.tolist())), "symbol": self.symbol(listing)}
            rates = {"fundingInterval": "2000-01-01T08:00:00.000Z", "fundingRate": f.rate, "fundingRateDaily": f.rate * 3}
            return Rows.objects(f.settled_at, columns | rates)

        return self._page(ask, self.market.funding_rows(listing.listed, render))

    @route("trade/bucketed", requests=1)
    def candles(self, ask: Ask) -> bytes:
        listing = self._listing(ask)
        ask.choice("binSize", "1h")
        ask.unused("partial")

        def render(bars: Candles) -> Rows:
            ends = bars.opened_at + MS_HOUR
            prices = {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
            sizes = {"trades": 1, "homeNotional": bars.volume, "foreignNotional": bars.quote_volume}
            names = {"timestamp": list(map(iso, ends.tolist())), "symbol": self.symbol(listing)}
            return Rows.objects(ends, {**names, **prices, **sizes})

        return self._page(ask, self.market.candle_rows("trade", listing.listed, render))


VENUE = BitMex
