"""Bybit v5 (api.bybit.com) as its venue page describes it: an envelope with `retCode`, lists newest first, text numbers.

Categories `linear` and `inverse` are two markets of the store with one rate limit; `spot` and `option` are empty. Inverse
contracts are a dollar each: volume and open interest are whole dollars, turnover and values coins. `openInterest` counts both
sides, `singleOpenInterest` one. The bar in progress is left out.
The stream has a topic for each symbol; a request with one that isn't known is refused whole.
Alone: `python -m infra.emulator` and `curl "$URL/bybit/v5/market/tickers?category=linear"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Market, Snapshot, World, latest
from infra.emulator.messages import Ask, InvalidParameter, Usage
from infra.emulator.rendering import Rows, contracts, encode, plain, text, tick
from infra.emulator.store import MS_HOUR, Candles, Floats, Funding, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, json
from infra.emulator.venue import Refused, Venue, route

INVERSE = Profile(0.04, tilt=0.00002, changing={"SOL": 1}, lists=("BTC", "ETH", "SOL", "XRP", "DOGE", "LINK"))
KLINES: dict[str, PriceKind] = {"kline": "trade", "mark-price-kline": "mark", "index-price-kline": "index"}


@dataclass(frozen=True)
class Category:
    """One kind of contract: its market and its units."""

    name: str
    market: Market
    quote: str = ""
    inverse: bool = False

    def symbol(self, listing: Listing) -> str:
        return listing.listed + self.quote

    def sizes(self, coins: Floats, quote: Floats) -> tuple[list[str], list[str]]:
        """An amount in the unit of the contract, and in the other one: volume and turnover, open interest and its value."""
        return (contracts(quote), text(coins)) if self.inverse else (text(coins), text(quote))


class AllLiquidations(Channel):
    """`allLiquidation.{symbol}`: every liquidation, each half second, by the position's side, at the price of bankruptcy."""

    path = "/v5/public/{category:linear|inverse}"
    every = 0.5
    patience = 600
    venue: Bybit

    def opened(self) -> list[Frame]:
        self.category = self.venue.categories[self.parts["category"]]
        self.topics: set[str] = set()
        return []

    @property
    def markets(self) -> Mapping[str, Market]:
        return {self.category.name: self.category.market}

    def receive(self, text: str) -> list[Frame]:
        asked = as_json(text)
        number, args = asked.get("req_id", ""), asked.get("args") or []
        same = {"conn_id": "2324d924-aa4d-45b0-a858-7b8be29ab52b", "req_id": number, "op": asked.get("op")}
        match asked.get("op"):
            case "ping":
                return [json({"success": True, "ret_msg": "pong", **same})]
            case "subscribe" if len(str(args)) > 21_000:
                return [json({"success": False, "ret_msg": "error:args size exceeds 21000", **same})]
            case "subscribe":
                known = {f"allLiquidation.{self.category.symbol(x)}" for x in self.category.market.listings(self.now)}
                if unknown := [topic for topic in args if topic not in known]:
                    return [json({"success": False, "ret_msg": f"error:handler not found,topic:{unknown[0]}", **same})]
                self.topics.update(args)
                return [json({"success": True, "ret_msg": "", **same})]
        return [json({"success": False, "ret_msg": "error:invalid op", **same})]

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        by_topic: dict[str, list[dict[str, object]]] = {}
        for event in events:
            symbol = self.category.symbol(event.listing)
            size = str(max(1, round(event.size * event.price))) if self.category.inverse else plain(event.size)
            row = {"T": event.time, "s": symbol, "S": "Buy" if event.long else "Sell", "v": size, "p": plain(event.price)}
            by_topic.setdefault(f"allLiquidation.{symbol}", []).append(row)
        for topic, rows in by_topic.items():
            if topic in self.topics:
                yield json({"topic": topic, "type": "snapshot", "ts": self.now, "data": rows})


class Bybit(Venue):
    name = "bybit"
    root = "/v5/market"
    profile = Profile(0.27, tilt=0.00002, four_hourly=("PEPE",), changing={"SOL": 0}, thousand="1000")
    beside: Mapping[str, Profile] = {"bybit_inverse": INVERSE}

    channels = (AllLiquidations,)

    def __init__(self, world: World) -> None:
        super().__init__(world)
        others = {name: Category(name, world.market(f"bybit_{name}")) for name in ("spot", "option")}
        inverse = Category("inverse", world.market("bybit_inverse"), "USD", inverse=True)
        self.categories = {"linear": Category("linear", self.market, "USDT"), "inverse": inverse, **others}

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return encode({"retCode": 0, "retMsg": "OK", "result": msgspec.Raw(data), "retExtInfo": {}, "time": ask.now})

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        [u] = usages
        values = {"": u.limit, "-Status": max(0, u.limit - u.used), "-Reset-Timestamp": u.resets_at}
        return {f"X-Bapi-Limit{name}": str(value) for name, value in values.items()}

    def _category(self, ask: Ask) -> Category:
        return self.categories[ask.choice("category", *self.categories)]

    def _instrument(self, ask: Ask) -> tuple[Category, Listing]:
        category = self._category(ask)
        for listing in category.market.listings(ask.now):
            if category.symbol(listing) == ask.query.get("symbol"):
                return category, listing
        raise Refused("unknown_instrument")

    def _snapshots(self, ask: Ask, category: Category) -> list[Snapshot]:
        """The trading contracts of the category, or the one that the request names."""
        coin = ask.query.get("baseCoin")
        if "symbol" in ask.query:
            listings = [self._instrument(ask)[1]]
        else:
            listings = [x for x in category.market.listings(ask.now) if coin in (None, x.listed)]
        snapshots = [category.market.snapshot(x, ask.now) for x in listings]
        return [at for at in snapshots if "symbol" in ask.query or not at.over]

    @route("time", requests=1)
    def time(self, ask: Ask) -> object:
        return {"timeSecond": str(ask.now // 1000), "timeNano": str(ask.now * 1_000_000)}

    @route("instruments-info", requests=1)
    def instruments(self, ask: Ask) -> object:
        category, limit, first = self._category(ask), ask.limit(500, 1000), ask.integer("cursor") or 0
        snapshots = self._snapshots(ask, category) if ask.query.get("status") in (None, "Trading") else []
        cursor = str(first + limit) if first + limit < len(snapshots) else ""
        rows = [self._contract(category, at) for at in snapshots[first : first + limit]]
        return {"category": category.name, "list": rows, "nextPageCursor": cursor}

    def _contract(self, category: Category, at: Snapshot) -> object:
        listing, step, least = at.listing, plain(tick(at.last)), "1" if category.inverse else "0.001"
        return {
            "symbol": category.symbol(listing),
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
            "fundingInterval": at.interval_hours * 60,
            "settleCoin": listing.listed if category.inverse else category.quote,
            "copyTrading": "none",
            "upperFundingRate": "0.02",
            "lowerFundingRate": "-0.02",
            "isPreListing": False,
            "preListingInfo": None,
            "symbolType": "",
        }

    @route("tickers", requests=1)
    def tickers(self, ask: Ask) -> object:
        category = self._category(ask)
        return {"category": category.name, "list": [self._ticker(category, at) for at in self._snapshots(ask, category)]}

    def _ticker(self, category: Category, at: Snapshot) -> object:
        value = np.array([at.size * latest(category.market.open_interest(at.listing.listed), "mark", at.now)])
        [single, single_value], [both, both_value] = (
            (x[0] for x in category.sizes(n * np.array([at.size]), n * value)) for n in (1, 2)
        )
        return {
            "symbol": category.symbol(at.listing),
            "indexPrice": plain(at.index),
            "markPrice": plain(at.mark),
            "openInterest": both,
            "openInterestValue": both_value,
            "singleOpenInterest": single,
            "singleOpenInterestValue": single_value,
            "fundingRate": "" if at.rate is None else plain(at.rate),
            "fundingIntervalHour": str(at.interval_hours),
            "nextFundingTime": str(at.next_settlement),
            "fundingCap": "0.02",
            "deliveryTime": "0",
            "ask1Price": "",
            "bid1Price": "",
        }

    @route("orderbook", requests=1)
    def order_book(self, ask: Ask) -> object:
        (category, listing), limit = self._instrument(ask), ask.limit(25, 500)
        found = books(category.market.snapshot(listing, ask.now))

        def level(price: float, size: float) -> object:
            return [plain(price), str(max(1, round(size * price))) if category.inverse else plain(size)]

        sides = found.sides(level, limit, "b", "a")
        return {"s": category.symbol(listing), **sides, "ts": ask.now, "u": ask.now, "seq": ask.now, "cts": ask.now}

    @route("funding/history", requests=1)
    def funding(self, ask: Ask) -> object:
        category, listing = self._instrument(ask)
        limit, (start, end) = ask.limit(200, 200), ask.window("startTime", "endTime")
        if start is not None and "endTime" not in ask.query:
            raise InvalidParameter("startTime without endTime")

        def render(f: Funding) -> Rows:
            columns = {"symbol": category.symbol(listing), "fundingRate": text(f.rate)}
            return Rows.objects(f.settled_at, {**columns, "fundingRateTimestamp": list(map(str, f.settled_at.tolist()))})

        rows = category.market.funding_rows(listing.listed, render)
        page = rows.page(ask, start, end, limit, newest=True, descending=True)
        return {"category": category.name, "list": msgspec.Raw(page)}

    @route("open-interest", requests=1)
    def open_interest(self, ask: Ask) -> object:
        """Walks back from `endTime`; a start without an end is ignored. The cursor is the oldest time sent."""
        (category, listing), _ = self._instrument(ask), ask.choice("intervalTime", "1h")
        limit, (start, end), cursor = ask.limit(50, 200), ask.window("startTime", "endTime"), ask.integer("cursor")

        def render(oi: OpenInterest) -> Rows:
            both, single = (category.sizes(n * oi.size, n * oi.size * oi.mark)[0] for n in (2, 1))
            columns = {"openInterest": both, "singleOpenInterest": single}
            return Rows.objects(oi.observed_at, {**columns, "timestamp": list(map(str, oi.observed_at.tolist()))})

        rows = category.market.open_interest_rows(listing.listed, render)
        since = start if "endTime" in ask.query else None
        span = rows.span(ask, since, min(end, cursor - 1) if cursor else end, limit, newest=True)
        older = span.start > 0 and span.stop > span.start and (since is None or rows.times[span.start - 1] >= since)
        return {
            "symbol": category.symbol(listing),
            "category": category.name,
            "list": msgspec.Raw(rows.array(span, descending=True)),
            "nextPageCursor": str(rows.times[span.start]) if older else "",
        }

    @route("{path:kline|mark-price-kline|index-price-kline}", requests=1)
    def klines(self, ask: Ask, path: str) -> object:
        (category, listing), kind, _ = self._instrument(ask), KLINES[path], ask.choice("interval", "60")
        limit, (start, end) = ask.limit(200, 1000), ask.window("start", "end")
        if start is not None and "end" not in ask.query:
            end = start + limit * MS_HOUR - 1

        def render(bars: Candles) -> Rows:
            prices = (text(x) for x in (bars.open, bars.high, bars.low, bars.close))
            volumes = category.sizes(bars.volume, bars.quote_volume) if kind == "trade" else ()
            return Rows.arrays(bars.opened_at, list(map(str, bars.opened_at.tolist())), *prices, *volumes)

        rows = category.market.candle_rows(kind, listing.listed, render)
        page = rows.page(ask, start, min(end, ask.now - MS_HOUR), limit, newest=True, descending=True)
        return {"symbol": category.symbol(listing), "category": category.name, "list": msgspec.Raw(page)}


VENUE = Bybit
