"""KuCoin Futures: JSON numbers in an envelope with a `code`, sizes in lots, `XBT` for BTC, milliseconds.

Funding comes newest first and at most a hundred settlements, bars oldest first and at most 500; where there are none, null. There
is no history of open interest. The bar in progress is left out.
Alone: `python -m infra.emulator` and `curl "$URL/kucoin/api/v1/contracts/active"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infra.emulator.books import books
from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask, MissingParameter, Usage
from infra.emulator.rendering import Rows, number, tick
from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.venue import Venue, route

#: Listed coins in one lot; one of every other coin.
COINS_A_LOT = {"BTC": 0.001, "ETH": 0.01, "SOL": 0.1, "HYPE": 0.1, "LINK": 0.1, "XRP": 10, "DOGE": 100, "PEPE": 10}
RATES, BARS = 100, 500


def lots(size: float, listing: Listing) -> int | None:
    """A size in listed coins as whole lots; None for NaN."""
    return None if size != size else round(size / COINS_A_LOT.get(listing.base, 1))


class Kucoin(Venue):
    name = "kucoin"
    root = "/api/v1"
    profile = Profile(0.06, tilt=-0.00001, decimals=6, four_hourly=("DOGE",), thousand="1000")

    def symbol(self, listing: Listing) -> str:
        return ("XBT" if listing.listed == "BTC" else listing.listed) + "USDTM"

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return b'{"code":"200000","data":%s}' % (b"null" if data == b"[]" else data)

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        [usage] = usages
        return {
            "gw-ratelimit-limit": str(usage.limit),
            "gw-ratelimit-remaining": str(max(0, usage.limit - usage.used)),
            "gw-ratelimit-reset": str(int(usage.seconds_left * 1000)),
        }

    @route("contracts/active", public=5)
    def contracts(self, ask: Ask) -> object:
        return [self._contract(x) for x in self.snapshots(ask.now)]

    def _contract(self, at: Snapshot) -> object:
        name, size, rate = self.symbol(at.listing), lots(at.size, at.listing), number(at.rate)
        return {
            "symbol": name,
            "rootSymbol": "USDT",
            "type": "FFWCSX",
            "firstOpenDate": at.listing.listed_at,
            "expireDate": None,
            "settleDate": None,
            "baseCurrency": name.removesuffix("USDTM"),
            "quoteCurrency": "USDT",
            "settleCurrency": "USDT",
            "maxOrderQty": 1_000_000,
            "maxPrice": 1_000_000.0,
            "lotSize": 1,
            "tickSize": tick(at.last),
            "multiplier": COINS_A_LOT.get(at.listing.base, 1),
            "isDeleverage": True,
            "isQuanto": True,
            "isInverse": False,
            "indexSymbol": f".K{name.removesuffix('M')}",
            "status": "Open",
            "fundingFeeRate": rate,
            "predictedFundingFeeRate": rate,
            "fundingRateGranularity": at.interval_hours * MS_HOUR,
            "openInterest": None if size is None else str(size),
            "markPrice": number(at.mark),
            "indexPrice": number(at.index),
            "lastTradePrice": number(at.last),
            "nextFundingRateTime": at.next_settlement - at.now,
            "nextFundingRateDateTime": at.next_settlement,
            "maxLeverage": 100,
        }

    @route("level2/snapshot", public=5)
    def order_book(self, ask: Ask) -> object:
        """All levels; the time in nanoseconds."""
        listing = self.listing(ask.query.get("symbol", ""), ask.now)
        found = books(self.market.snapshot(listing, ask.now))
        sides = found.sides(lambda price, size: [price, max(1, lots(size, listing) or 0)])
        return {"symbol": self.symbol(listing), "sequence": ask.now, **sides, "ts": ask.now * 1_000_000}

    @route("contract/funding-rates", public=5)
    def funding(self, ask: Ask) -> bytes:
        listing, (start, end) = self.listing(ask.query.get("symbol", ""), ask.now), ask.window("from", "to")
        if start is None or "to" not in ask.query:
            raise MissingParameter("from and to are required")

        def render(f: Funding) -> Rows:
            return Rows.objects(f.settled_at, {"symbol": self.symbol(listing), "fundingRate": f.rate, "timepoint": f.settled_at})

        return self.market.funding_rows(listing.listed, render).page(ask, start, end, RATES, newest=True, descending=True)

    @route("kline/query", public=5)
    def candles(self, ask: Ask) -> bytes:
        ask.choice("granularity", "60")
        listing, (start, end) = self.listing(ask.query.get("symbol", ""), ask.now), ask.window("from", "to")

        def render(bars: Candles) -> Rows:
            volumes = [lots(size, listing) for size in bars.volume.tolist()]
            return Rows.arrays(bars.opened_at, bars.opened_at, bars.open, bars.high, bars.low, bars.close, volumes)

        rows = self.market.candle_rows("trade", listing.listed, render)
        return rows.page(ask, start, min(end, ask.now - MS_HOUR), BARS, newest=start is None)


VENUE = Kucoin
