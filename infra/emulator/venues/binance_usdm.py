"""Binance USD-M futures (fapi) as its page describes it: text numbers, ascending pages, both ends of a window inclusive.

Symbols are the listed coin + `USDT`. The kline of the running hour is sent, unfinished, as the venue does; open-interest
history goes back 30 days; `fundingInfo` names only symbols whose interval isn't 8 hours.
The stream of liquidations has those of both markets, at most one a symbol and second; without the path class `/market` it takes
a subscription and sends nothing, as since 2026-04-23.
Alone: `python -m infra.emulator` and `curl $URL/binance/fapi/v1/exchangeInfo`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from infra.emulator.books import books
from infra.emulator.market import Market, Snapshot, interval_hours
from infra.emulator.messages import Answer, Ask, InvalidParameter, Usage
from infra.emulator.rendering import Rows, encode, merged, plain, text, tick
from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, json, largest_a_symbol
from infra.emulator.venue import Refused, Venue, route

OPEN_INTEREST_DAYS = 30
NEVER = 4133404800000  # the delivery date of what has none
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
KLINES: dict[str, tuple[PriceKind, str]] = {
    "klines": ("trade", "symbol"),
    "markPriceKlines": ("mark", "symbol"),
    "indexPriceKlines": ("index", "pair"),
}


class ForcedOrders(Channel):
    """`!forceOrder@arr` and `<symbol>@forceOrder`: by message, or named in the path (`/ws/<stream>`, `/stream?streams=`)."""

    path = "/market/{kind:ws|stream}{named:|/.+}"
    every = 1.0
    patience = 600
    pings = True
    per_second = 10
    wraps = False

    def opened(self) -> list[Frame]:
        named = self.query.get("streams", "") if self.parts["kind"] == "stream" else self.parts["named"].lstrip("/")
        self.wraps, self.streams = self.parts["kind"] == "stream", set(filter(None, named.split("/")))
        return []

    @property
    def markets(self) -> Mapping[str, Market]:
        return {name: self.venue.world.market(name) for name in ("binance", "binance_coinm")}

    def receive(self, text: str) -> list[Frame]:
        asked = as_json(text)
        streams, number = asked.get("params", []), asked.get("id")
        if asked.get("method") not in ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS"):
            return [json({"error": {"code": 2, "msg": "Invalid request: unknown variant"}, "id": number})]
        if asked["method"] == "LIST_SUBSCRIPTIONS":
            return [json({"result": sorted(self.streams), "id": number})]
        if not isinstance(streams, list) or not all(isinstance(each, str) for each in streams):
            return [json({"error": {"code": 2, "msg": "Invalid request: params must be an array of text"}, "id": number})]
        self.streams = self.streams | set(streams) if asked["method"] == "SUBSCRIBE" else self.streams - set(streams)
        return [] if len(self.streams) > 1024 else [json({"result": None, "id": number})]

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        for event in largest_a_symbol(events):
            inverse = event.market == "binance_coinm"
            symbol = event.listing.listed + ("USD_PERP" if inverse else "USDT")
            dollars = 100.0 if event.listing.listed == "BTC" else 10.0
            size = str(max(1, round(event.size * event.price / dollars))) if inverse else plain(event.size)
            price, side = plain(event.price), "SELL" if event.long else "BUY"
            order: dict[str, object] = {
                "s": symbol,
                "S": side,
                "o": "LIMIT",
                "f": "IOC",
                "q": size,
                "p": price,
                "ap": price,
                "X": "FILLED",
            }
            order |= {"l": size, "z": size, "T": event.time}
            pair = symbol.removesuffix("_PERP")
            frame = {"e": "forceOrder", "E": self.now, "o": order, "ps": pair, "st": 2 if inverse else 1}
            for stream in self.streams & {"!forceOrder@arr", f"{symbol.lower()}@forceOrder"}:
                yield json({"stream": stream, "data": frame} if self.wraps else frame)


class ElsewhereForcedOrders(ForcedOrders):
    """The path without a class, retired for this stream, and those of other classes: what is asked is taken, nothing sent."""

    path = "/{class_:|public/|private/}{kind:ws|stream}{named:|/.+}"

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        return ()


class Binance(Venue):
    """USD-M; what COIN-M does otherwise is a method of its own, see `binance_coinm`."""

    name = "binance"
    root = "/fapi/v1"
    profile = Profile(0.46, jitter_ms=20, four_hourly=("HYPE",), changing={"LINK": 1}, thousand="1000")
    patience = 20
    channels: tuple[type[Channel], ...] = (ForcedOrders, ElsewhereForcedOrders)

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(next(u.used for u in usages if u.name == "weight"))}

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "USDT"

    def pair(self, listing: Listing) -> str:
        return listing.listed + "USDT"

    def _asked(self, ask: Ask, name: str = "symbol") -> Listing:
        """The listing that a request names by its symbol or by its pair."""
        value = ask.required(name)
        for listing in self.market.listings(ask.now):
            if (self.pair if name == "pair" else self.symbol)(listing) == value:
                return listing
        raise Refused("unknown_instrument")

    @staticmethod
    def _window(ask: Ask, default: int, most: int) -> tuple[int | None, int | None, int]:
        start, end, limit = ask.integer("startTime"), ask.integer("endTime"), ask.limit(default, most)
        if start is not None and end is not None and start > end:
            raise InvalidParameter("startTime")
        return start, end, limit

    @route("ping", weight=1)
    def ping(self, ask: Ask) -> object:
        return {}

    @route("time", weight=1)
    def time(self, ask: Ask) -> object:
        return {"serverTime": ask.now}

    @route("exchangeInfo", weight=1)
    def exchange_info(self, ask: Ask) -> object:
        weight = max(1, int(self.limits["weight"][0] * self.world.scale))
        return {
            "timezone": "UTC",
            "serverTime": ask.now,
            "futuresType": "U_MARGINED",
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight}],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [self._contract(self.market.snapshot(x, ask.now)) for x in self.market.listings(ask.now)],
        }

    def _contract(self, at: Snapshot) -> dict[str, object]:
        listing, step = at.listing, plain(tick(at.last))
        return {
            "symbol": self.symbol(listing),
            "pair": self.pair(listing),
            "contractType": "PERPETUAL",
            "deliveryDate": NEVER if listing.delisted_at is None else listing.delisted_at,
            "onboardDate": listing.listed_at,
            "status": "SETTLING" if at.over else "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": listing.listed,
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "pricePrecision": len(step.partition(".")[2]),
            "quantityPrecision": 3,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "settlePlan": 0,
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012000",
            "marketTakeBound": "0.30",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": step, "maxPrice": "1000000000", "tickSize": step},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000000000", "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
            "orderTypes": ["LIMIT", "MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }

    @route("fundingInfo", funding=1)
    def funding_info(self, ask: Ask) -> object:
        return [
            {
                "symbol": self.symbol(x),
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": interval_hours(x, ask.now),
                "disclaimer": False,
            }
            for x in self.trading(ask.now)
            if interval_hours(x, ask.now) != 8
        ]

    def _funding_rows(self, listing: Listing) -> Rows:
        def render(f: Funding) -> Rows:
            columns = {"symbol": self.symbol(listing), "fundingRate": text(f.rate), "fundingTime": f.settled_at}
            return Rows.objects(f.settled_at, {**columns, "markPrice": text(f.mark), "rateType": "Regular"})

        return self.market.funding_rows(listing.listed, render)

    @route("fundingRate", funding=1)
    def funding(self, ask: Ask) -> bytes:
        start, end, limit = self._window(ask, 100, 1000)
        if "symbol" in ask.query:
            rows = self._funding_rows(self._asked(ask))
        else:
            listings = self.market.listings(ask.now)
            listed = tuple(x.listed for x in listings)
            rows = self.market.keep(("mixed", listed), lambda: merged(self._funding_rows(x) for x in listings))
        if start is None and end is None:
            limit = min(limit, 200) if "limit" in ask.query else 200
        return rows.page(ask, start, min(end or ask.now, ask.now), limit, newest=start is None)

    @route("premiumIndex")
    def premium_index(self, ask: Ask) -> Answer:
        """The row of a symbol, or the rows of all, which cost more."""
        if "symbol" in ask.query:
            return Answer(encode(self._premium_index(self.market.snapshot(self._asked(ask), ask.now))), charges={"weight": 1})
        rows = [self._premium_index(at) for at in self.snapshots(ask.now)]
        return Answer(encode(rows), charges={"weight": 10})

    def _premium_index(self, at: Snapshot) -> dict[str, object]:
        return {
            "symbol": self.symbol(at.listing),
            "markPrice": plain(at.mark),
            "indexPrice": plain(at.index),
            "estimatedSettlePrice": plain(at.index),
            "lastFundingRate": "" if at.rate is None else plain(at.rate),
            "interestRate": "0.00010000",
            "nextFundingTime": at.next_settlement,
            "time": at.now,
        }

    def _trading(self, ask: Ask) -> Listing:
        """The listing in the request, which has no open interest of the present once it is settled."""
        listing = self._asked(ask)
        if listing.delisted_at is not None and listing.delisted_at <= ask.now:
            raise Refused("not_trading")
        return listing

    @route("openInterest", weight=1)
    def open_interest(self, ask: Ask) -> object:
        listing = self._trading(ask)
        return {
            "symbol": self.symbol(listing),
            "openInterest": plain(self.market.snapshot(listing, ask.now).size),
            "time": ask.now,
        }

    def _counted(self, listing: Listing, size: float, price: float) -> str:
        """A size of the order book in the unit of the contract."""
        return plain(size)

    @route("depth")
    def depth(self, ask: Ask) -> Answer:
        limit = int(ask.choice("limit", *map(str, DEPTHS))) if "limit" in ask.query else 500
        listing = self._trading(ask)
        found = books(self.market.snapshot(listing, ask.now))
        sides = found.sides(lambda price, size: [plain(price), self._counted(listing, size, price)], limit)
        weight = 2 if limit <= 50 else 5 if limit == 100 else 10 if limit == 500 else 20
        return Answer(encode({"lastUpdateId": ask.now, "E": ask.now, "T": ask.now, **sides}), charges={"weight": weight})

    def _open_interest_rows(self, listing: Listing, oi: OpenInterest) -> Rows:
        """How the history of open interest is rendered."""
        columns = {"symbol": self.symbol(listing), "sumOpenInterest": text(oi.size)}
        return Rows.objects(
            oi.observed_at, {**columns, "sumOpenInterestValue": text(oi.size * oi.mark), "timestamp": oi.observed_at}
        )

    @route("/futures/data/openInterestHist", data=1)
    def open_interest_history(self, ask: Ask) -> bytes:
        return self._open_interest_history(ask, self._asked(ask))

    def _open_interest_history(self, ask: Ask, listing: Listing) -> bytes:
        if ask.choice("period", *PERIODS) != "1h":
            raise InvalidParameter("period (the emulator keeps 1h)")
        start, end, limit = self._window(ask, 30, 500)
        oldest = ask.now - OPEN_INTEREST_DAYS * 24 * MS_HOUR if self.world.history else 0
        if start is not None and start < oldest:
            raise Refused("too_old")
        rows = self.market.open_interest_rows(listing.listed, lambda oi: self._open_interest_rows(listing, oi))
        return rows.page(ask, max(start or 0, oldest), min(ask.now if end is None else end, ask.now), limit, newest=True)

    def _volumes(self, listing: Listing, bars: Candles) -> tuple[list[str], list[str]]:
        """The sixth and the eighth column of the bars of trades."""
        return text(bars.volume), text(bars.quote_volume)

    def _bars(self, rows: Rows, ask: Ask, start: int | None, end: int | None, limit: int) -> bytes:
        """The bars of a window that are sent: from its start on, or the newest where it has none."""
        return rows.page(ask, start, min(ask.now if end is None else end, ask.now), limit, newest=start is None)

    @route("{path:klines|markPriceKlines|indexPriceKlines}")
    def klines(self, ask: Ask, path: str) -> Answer:
        kind, name = KLINES[path]
        listing = self._asked(ask, name)
        if ask.required("interval") != "1h":
            raise Refused("invalid_interval")
        start, end, limit = self._window(ask, 500, 1500)

        def render(bars: Candles) -> Rows:
            volumes = self._volumes(listing, bars) if kind == "trade" else ("0", "0")
            taken = "" if kind == "trade" else "0"  # what takers bought isn't held
            prices = (text(x) for x in (bars.open, bars.high, bars.low, bars.close))
            trades = [None if n < 0 else n for n in bars.trades.tolist()]
            ends = bars.opened_at + MS_HOUR - 1
            return Rows.arrays(bars.opened_at, bars.opened_at, *prices, volumes[0], ends, volumes[1], trades, taken, taken, "0")

        rows = self.market.candle_rows(kind, listing.listed, render)
        weight = 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
        return Answer(self._bars(rows, ask, start, end, limit), charges={"weight": weight})


VENUE = Binance
