"""Bybit v5 as its page describes it: an envelope with `retCode`, errors in HTTP 200, lists newest first, text numbers.

Categories `linear` and `inverse` come from the store, as two markets with one rate limit; `spot` and `option` are empty.
Inverse contracts are a dollar each: volume and open interest are whole dollars, turnover and values coins. `openInterest`
counts both sides, `singleOpenInterest` one. The bar in progress is left out.
Alone: `python -m infra.emulator` and `curl "$URL/bybit/v5/market/tickers?category=linear"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from infra.emulator.store import MS_HOUR, Candles, Floats, Funding, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.wire import (
    Answer,
    Ask,
    Market,
    Refusal,
    Rows,
    Usage,
    Venue,
    World,
    contracts,
    encode,
    interval_hours,
    latest,
    next_settlement,
    plain,
    text,
    tick,
)

INVERSE = Profile(0.04, tilt=0.00002, changing={"SOL": 1}, lists=("BTC", "ETH", "SOL", "XRP", "DOGE", "LINK"))
KLINES: dict[str, PriceKind] = {
    "/v5/market/kline": "trade",
    "/v5/market/mark-price-kline": "mark",
    "/v5/market/index-price-kline": "index",
}


def refusal(code: int, message: str, now: int) -> Refusal:
    return Refusal(Answer(_envelope(b"{}", now, code, message), charges={"requests": 1}))


def _envelope(result: bytes, now: int, code: int = 0, message: str = "OK") -> bytes:
    return b'{"retCode":%d,"retMsg":%s,"result":%s,"retExtInfo":{},"time":%d}' % (code, encode(message), result, now)


@dataclass(frozen=True)
class Category:
    """One kind of contract: the market it is in, and its units."""

    name: str
    market: Market
    quote: str = ""
    inverse: bool = False

    def sizes(self, coins: Floats, quote: Floats) -> tuple[list[str], list[str]]:
        """An amount as volume and turnover, open interest and its value: the unit of the contract, then the other one."""
        return (contracts(quote), text(coins)) if self.inverse else (text(coins), text(quote))


class Bybit(Venue):
    name = "bybit"
    profile = Profile(0.27, tilt=0.00002, four_hourly=("PEPE",), changing={"SOL": 0}, thousand="1000")
    beside: Mapping[str, Profile] = {"bybit_inverse": INVERSE}
    limits: Mapping[str, tuple[int, int]] = {"requests": (600, 5)}

    def __init__(self, world: World) -> None:
        super().__init__(world)
        others = {name: Category(name, world.market(f"bybit_{name}")) for name in ("spot", "option")}
        inverse = Category("inverse", world.market("bybit_inverse"), "USD", inverse=True)
        self.categories = {"linear": Category("linear", self.market, "USDT"), "inverse": inverse, **others}

    def answer(self, ask: Ask) -> Answer:
        return Answer(_envelope(self._result(ask), ask.now), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return Answer(_envelope(b"{}", ask.now, 10006, "Too many visits. Exceeded the API Rate Limit."))

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        return {
            name: str(value)
            for u in usages
            for name, value in (
                ("X-Bapi-Limit", u.limit),
                ("X-Bapi-Limit-Status", max(0, u.limit - u.used)),
                ("X-Bapi-Limit-Reset-Timestamp", u.resets_at),
            )
        }

    def error(self, ask: Ask) -> Answer:
        return refusal(10016, "Internal server error.", ask.now).answer

    def blocked(self, ask: Ask) -> Answer:
        said = b"The Amazon CloudFront distribution is configured to block access from your country."
        return Answer(b"<html><head><title>403 Forbidden</title></head><body>%s</body></html>" % said, 403, "text/html")

    def _result(self, ask: Ask) -> bytes:
        if ask.path == "/v5/market/time":
            return encode({"timeSecond": str(ask.now // 1000), "timeNano": str(ask.now * 1_000_000)})
        category = self.categories.get(ask.query.get("category", ""))
        if category is None:
            raise refusal(10001, "params error: category invalid", ask.now)
        try:
            match ask.path:
                case "/v5/market/instruments-info":
                    return self._instruments(ask, category)
                case "/v5/market/tickers":
                    rows = [self._ticker(category, x, ask.now) for x in self._asked(ask, category)]
                    return encode({"category": category.name, "list": rows})
                case "/v5/market/funding/history":
                    return self._funding(ask, category, self._symbol(ask, category).listed)
                case "/v5/market/open-interest":
                    return self._open_interest(ask, category, self._symbol(ask, category).listed)
                case path if path in KLINES:
                    return self._klines(ask, category, self._symbol(ask, category).listed, KLINES[path])
        except ValueError as problem:
            raise refusal(10001, f"params error: {problem}", ask.now) from None
        raise Refusal(Answer(b"404 page not found", 404, "text/plain"))

    def _asked(self, ask: Ask, category: Category) -> list[Listing]:
        """The trading contracts of the category, or the one that the request names."""
        listings = [x for x in category.market.listings(ask.now) if x.delisted_at is None or x.delisted_at > ask.now]
        if "symbol" not in ask.query:
            return [x for x in listings if ask.query.get("baseCoin") in (None, x.listed)]
        return [self._symbol(ask, category)]

    def _symbol(self, ask: Ask, category: Category) -> Listing:
        for listing in category.market.listings(ask.now):
            if listing.listed + category.quote == ask.query.get("symbol"):
                return listing
        raise refusal(10001, "params error: symbol invalid", ask.now)

    @staticmethod
    def _limit(ask: Ask, default: int, most: int) -> int:
        limit = ask.integer("limit")
        if limit is not None and not 1 <= limit <= most:
            raise ValueError("limit invalid")
        return default if limit is None else limit

    def _instruments(self, ask: Ask, category: Category) -> bytes:
        limit, first = self._limit(ask, 500, 1000), ask.integer("cursor") or 0
        found = [] if ask.query.get("status") not in (None, "Trading") else self._asked(ask, category)
        cursor = str(first + limit) if first + limit < len(found) else ""
        rows = [self._contract(category, x, ask.now) for x in found[first : first + limit]]
        return encode({"category": category.name, "list": rows, "nextPageCursor": cursor})

    def _contract(self, category: Category, listing: Listing, now: int) -> object:
        step = plain(tick(category.market.price(listing.listed, "trade", now)))
        least = "1" if category.inverse else "0.001"
        return {
            "symbol": listing.listed + category.quote,
            "contractType": "InversePerpetual" if category.inverse else "LinearPerpetual",
            "status": "Trading",
            "baseCoin": listing.listed,
            "quoteCoin": category.quote,
            "launchTime": str(listing.listed_at),
            "deliveryTime": "0" if listing.delisted_at is None else str(listing.delisted_at),
            "deliveryFeeRate": "",
            "priceScale": str(len(step.partition(".")[2])),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "50.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": step, "maxPrice": "1000000000", "tickSize": step},
            "lotSizeFilter": {"qtyStep": least, "minOrderQty": least, "maxOrderQty": "1000000000", "minNotionalValue": "5"},
            "unifiedMarginTrade": True,
            "fundingInterval": interval_hours(listing, now) * 60,
            "settleCoin": listing.listed if category.inverse else category.quote,
            "copyTrading": "none",
            "upperFundingRate": "0.02",
            "lowerFundingRate": "-0.02",
            "isPreListing": False,
            "preListingInfo": None,
            "symbolType": "",
        }

    def _ticker(self, category: Category, listing: Listing, now: int) -> object:
        market, coin = category.market, listing.listed
        held = market.open_interest(coin)
        size, mark = np.array([latest(held, "size", now)]), latest(held, "mark", now)
        [single, value], [both, both_value] = ((x[0] for x in category.sizes(n * size, n * size * mark)) for n in (1, 2))
        rate = market.running_rate(coin, now)
        day = market.day(coin, now)
        last = {} if day is None else {
            "lastPrice": plain(float(day.close[-1])),
            "prevPrice24h": plain(float(day.open[0])),
            "highPrice24h": plain(float(day.high.max())),
            "lowPrice24h": plain(float(day.low.min())),
            **dict(zip(("volume24h", "turnover24h"), self._day(category, day), strict=True)),
        }  # fmt: skip
        return {
            "symbol": coin + category.quote,
            **last,
            "indexPrice": plain(market.price(coin, "index", now)),
            "markPrice": plain(market.price(coin, "mark", now)),
            "openInterest": both,
            "openInterestValue": both_value,
            "singleOpenInterest": single,
            "singleOpenInterestValue": value,
            "fundingRate": "" if rate is None else plain(rate),
            "fundingIntervalHour": str(interval_hours(listing, now)),
            "nextFundingTime": str(next_settlement(listing, now)),
            "fundingCap": "0.02",
            "deliveryTime": "0",
            "ask1Price": "",
            "bid1Price": "",
        }

    @staticmethod
    def _day(category: Category, day: Candles) -> list[str]:
        return [x for [x] in category.sizes(day.volume.sum(keepdims=True), day.quote_volume.sum(keepdims=True))]

    def _funding(self, ask: Ask, category: Category, listed: str) -> bytes:
        limit, start, end = self._limit(ask, 200, 200), ask.integer("startTime"), ask.integer("endTime")
        if start is not None and end is None:
            raise ValueError("startTime needs endTime")

        def render(f: Funding) -> Rows:
            cell = f'{{"symbol":"{listed}{category.quote}","fundingRate":"%s","fundingRateTimestamp":"%d"}}'
            return Rows(f.settled_at, [(cell % row).encode() for row in zip(text(f.rate), f.settled_at.tolist(), strict=True)])

        rows = category.market.rows("funding", listed, category.market.funding(listed), render)
        span = rows.span(ask, start, min(ask.now if end is None else end, ask.now), limit, newest=True)
        return b'{"category":%s,"list":%s}' % (encode(category.name), rows.array(span, descending=True))

    def _open_interest(self, ask: Ask, category: Category, listed: str) -> bytes:
        """Walks back from `endTime`; a lone `startTime` is ignored. The cursor is the oldest time sent."""
        if ask.query.get("intervalTime") != "1h":
            raise ValueError("intervalTime invalid (the emulator keeps 1h)")
        limit, start, end = self._limit(ask, 50, 200), ask.integer("startTime"), ask.integer("endTime")
        sent_to = ask.integer("cursor")

        def render(oi: OpenInterest) -> Rows:
            both, single = (category.sizes(n * oi.size, n * oi.size * oi.mark)[0] for n in (2, 1))
            columns = zip(both, single, oi.observed_at.tolist(), strict=True)
            cell = '{"openInterest":"%s","singleOpenInterest":"%s","timestamp":"%d"}'
            return Rows(oi.observed_at, [(cell % row).encode() for row in columns])

        rows = category.market.rows("open_interest", listed, category.market.open_interest(listed), render)
        until = min(x for x in (ask.now, end, sent_to and sent_to - 1) if x is not None)
        since = None if end is None else start
        span = rows.span(ask, since, until, limit, newest=True)
        older = span.start > 0 and span.stop > span.start and (since is None or rows.times[span.start - 1] >= since)
        head = encode({"symbol": listed + category.quote, "category": category.name})[:-1]
        cursor = str(rows.times[span.start]) if older else ""
        return b'%s,"list":%s,"nextPageCursor":"%s"}' % (head, rows.array(span, descending=True), cursor.encode())

    def _klines(self, ask: Ask, category: Category, listed: str, kind: PriceKind) -> bytes:
        if ask.query.get("interval") != "60":
            raise ValueError("interval invalid (the emulator keeps 60)")
        limit, start, end = self._limit(ask, 200, 1000), ask.integer("start"), ask.integer("end")
        if start is not None and end is None:
            end = start + limit * MS_HOUR - 1

        def render(bars: Candles) -> Rows:
            columns = [bars.opened_at.tolist(), *(text(x) for x in (bars.open, bars.high, bars.low, bars.close))]
            if kind == "trade":
                columns += category.sizes(bars.volume, bars.quote_volume)
            cell = '["%d"' + ',"%s"' * (len(columns) - 1) + "]"
            return Rows(bars.opened_at, [(cell % row).encode() for row in zip(*columns, strict=True)])

        rows = category.market.rows(("candles", kind), listed, category.market.candles(listed, kind), render)
        over = ask.now - MS_HOUR
        span = rows.span(ask, start, over if end is None else min(end, over), limit, newest=True)
        head = encode({"symbol": listed + category.quote, "category": category.name})[:-1]
        return b'%s,"list":%s}' % (head, rows.array(span, descending=True))


VENUE = Bybit
