"""KuCoin Futures: JSON numbers in an envelope with a `code`, sizes in lots, `XBT` for BTC, milliseconds.

Funding comes newest first and a hundred settlements at most, bars oldest first and 500 at most. There is no history of open
interest. The bar in progress is left out.
Alone: `python -m infra.emulator` and `curl "$URL/kucoin/api/v1/contracts/active"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.wire import (
    Answer,
    Ask,
    Refusal,
    Rows,
    Usage,
    Venue,
    encode,
    interval_hours,
    latest,
    next_settlement,
    number,
    tick,
)

#: Listed coins in one lot; one of every other coin.
COINS_A_LOT = {"BTC": 0.001, "ETH": 0.01, "SOL": 0.1, "HYPE": 0.1, "LINK": 0.1, "XRP": 10, "DOGE": 100, "PEPE": 10}
COST = {"public": 5}
RATES, BARS = 100, 500


def refusal(code: str, message: str, status: int = 200) -> Refusal:
    return Refusal(Answer(encode({"code": code, "msg": message}), status, charges=COST))


def symbol(listing: Listing) -> str:
    return ("XBT" if listing.listed == "BTC" else listing.listed) + "USDTM"


def lots(size: float, listing: Listing) -> int | None:
    """A size in listed coins as whole lots; None for NaN."""
    return None if size != size else round(size / COINS_A_LOT.get(listing.base, 1))


class Kucoin(Venue):
    name = "kucoin"
    profile = Profile(0.06, tilt=-0.00001, decimals=6, four_hourly=("DOGE",), thousand="1000")
    limits: Mapping[str, tuple[int, int]] = {"public": (2000, 30)}

    def answer(self, ask: Ask) -> Answer:
        try:
            match ask.path:
                case "/api/v1/contracts/active":
                    data = encode([self._contract(x, ask.now) for x in self.trading(ask.now)])
                case "/api/v1/contract/funding-rates":
                    data = self._funding(ask, self._listing(ask))
                case "/api/v1/kline/query":
                    data = self._klines(ask, self._listing(ask))
                case _:
                    raise refusal("404000", "Url Not Found", 404)
        except ValueError as problem:
            raise refusal("400100", f"Parameter Error: {problem}", 400) from None
        return Answer(b'{"code":"200000","data":%s}' % data, charges=COST)

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("429000", "Too many requests in a short period of time, please retry later", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("500000", "Internal Server Error", 500).answer

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        [usage] = usages
        return {
            "gw-ratelimit-limit": str(usage.limit),
            "gw-ratelimit-remaining": str(max(0, usage.limit - usage.used)),
            "gw-ratelimit-reset": str(int(usage.seconds_left * 1000)),
        }

    def _listing(self, ask: Ask) -> Listing:
        for listing in self.market.listings(ask.now):
            if symbol(listing) == ask.query.get("symbol"):
                return listing
        raise refusal("100001", "symbol not exists", 400)

    def _contract(self, listing: Listing, now: int) -> object:
        coin, upcoming = listing.listed, next_settlement(listing, now)
        name, rate = symbol(listing), self.market.running_rate(listing.listed, now)
        held = lots(latest(self.market.open_interest(coin), "size", now), listing)
        last = self.market.price(coin, "trade", now)
        return {
            "symbol": name,
            "rootSymbol": "USDT",
            "type": "FFWCSX",
            "firstOpenDate": listing.listed_at,
            "expireDate": None,
            "settleDate": None,
            "baseCurrency": name.removesuffix("USDTM"),
            "quoteCurrency": "USDT",
            "settleCurrency": "USDT",
            "maxOrderQty": 1_000_000,
            "maxPrice": 1_000_000.0,
            "lotSize": 1,
            "tickSize": tick(last),
            "multiplier": COINS_A_LOT.get(listing.base, 1),
            "isDeleverage": True,
            "isQuanto": True,
            "isInverse": False,
            "indexSymbol": f".K{name.removesuffix('M')}",
            "status": "Open",
            "fundingFeeRate": number(rate),
            "predictedFundingFeeRate": number(rate),
            "fundingRateGranularity": interval_hours(listing, now) * MS_HOUR,
            "openInterest": None if held is None else str(held),
            "markPrice": number(self.market.price(coin, "mark", now)),
            "indexPrice": number(self.market.price(coin, "index", now)),
            "lastTradePrice": number(last),
            "nextFundingRateTime": upcoming - now,
            "nextFundingRateDateTime": upcoming,
            "maxLeverage": 100,
        }

    def _funding(self, ask: Ask, listing: Listing) -> bytes:
        start, end = ask.integer("from"), ask.integer("to")
        if start is None or end is None:
            raise ValueError("from and to are required")

        def render(f: Funding) -> Rows:
            cells = [
                encode({"symbol": symbol(listing), "fundingRate": rate, "timepoint": at})
                for at, rate in zip(f.settled_at.tolist(), f.rate.tolist(), strict=True)
            ]
            return Rows(f.settled_at, cells)

        rows = self.market.rows("funding", listing.listed, self.market.funding(listing.listed), render)
        return rows.array(rows.span(ask, start, min(end, ask.now), RATES, newest=True), descending=True)

    def _klines(self, ask: Ask, listing: Listing) -> bytes:
        if ask.integer("granularity") != 60:
            raise ValueError("granularity (the emulator keeps 60)")
        start, end = ask.integer("from"), ask.integer("to")

        def render(bars: Candles) -> Rows:
            prices = (x.tolist() for x in (bars.opened_at, bars.open, bars.high, bars.low, bars.close))
            volumes = [lots(size, listing) for size in bars.volume.tolist()]
            return Rows(bars.opened_at, [encode(row) for row in zip(*prices, volumes, strict=True)])

        rows = self.market.rows("candles", listing.listed, self.market.candles(listing.listed, "trade"), render)
        over = ask.now - MS_HOUR
        return rows.array(rows.span(ask, start, over if end is None else min(end, over), BARS, newest=start is None))


VENUE = Kucoin
