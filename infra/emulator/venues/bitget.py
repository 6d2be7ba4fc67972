"""Bitget, futures in USDT by version 2 of its API: numbers as text, sizes in coins, milliseconds; liquidations by version 3.

The history of funding comes in numbered pages from the newest row, without a window. Of a window's bars the last 200 come, oldest
first; the bar in progress is left out. Which bars those are has several readings, `Bitget.reading` chooses one. There is no
history of open interest. The other product types are empty.
Alone: `python -m infra.emulator` and `curl "$URL/bitget/api/v2/mix/market/contracts?productType=usdt-futures"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask, InvalidParameter
from infra.emulator.rendering import Rows, plain, text
from infra.emulator.store import MS_HOUR, Candles, Funding, Liquidations, Listing, PriceKind, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, json
from infra.emulator.venue import Venue, route

#: The first has a market here; the last three are for practice.
PRODUCTS = ("USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES", "SUSDT-FUTURES", "SUSDC-FUTURES", "SCOIN-FUTURES")
DAY = 24 * MS_HOUR
#: The readings of a window of bars. `documented`: both ends are rounded down to the hour, bars open before the end. `unrounded`:
#: past the hour by a millisecond, one bar more comes (page of the unified account). `no_start`: the start is ignored (ccxt).
#: `inclusive`: so too, and the bar that opens at the end is the last one.
Reading = Literal["documented", "unrounded", "no_start", "inclusive"]


class LiquidationTopic(Channel):
    """The topic `liquidation` of a product type, once a second; the side is the position's. A client has to say ping."""

    path = "/v3/ws/public"
    every = 1.0
    patience = 120

    subscribed = False

    def receive(self, message: str) -> Iterable[Frame]:
        if message == "ping":
            yield "pong"
            return
        asked = as_json(message)
        for arg in asked.get("args", []):
            if (
                asked.get("op") != "subscribe"
                or arg.get("topic") != "liquidation"
                or arg.get("instType", "").upper() not in PRODUCTS
            ):
                yield json({"event": "error", "arg": arg, "code": "30016", "msg": "Param error"})
                continue
            self.subscribed = self.subscribed or arg["instType"] == "usdt-futures"
            yield json({"event": "subscribe", "arg": arg})

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        rows = [
            {
                "symbol": self.venue.symbol(e.listing),
                "side": "buy" if e.long else "sell",
                "price": plain(e.price),
                "amount": plain(e.price * e.size),
                "ts": str(e.time),
            }
            for e in events
        ]
        if self.subscribed:
            arg = {"instType": "usdt-futures", "topic": "liquidation"}
            yield json({"action": "update", "arg": arg, "data": rows, "ts": self.now})


class Bitget(Venue):
    name = "bitget"
    channels = (LiquidationTopic,)
    root = "/api/v2/mix/market"
    reading: Reading = "documented"
    profile = Profile(0.14, tilt=0.00002, decimals=6, four_hourly=("HYPE", "PEPE"))

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "USDT"

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return b'{"code":"00000","msg":"success","requestTime":%d,"data":%s}' % (ask.now, data)

    def _product(self, ask: Ask) -> str:
        if (product := ask.query.get("productType", "").upper()) not in PRODUCTS:
            raise InvalidParameter("productType")
        return product

    def _snapshots(self, ask: Ask) -> list[Snapshot]:
        listed = self.trading(ask.now) if self._product(ask) == PRODUCTS[0] else []
        return [self.market.snapshot(x, ask.now) for x in listed]

    def _listing(self, ask: Ask) -> Listing:
        return self.listing(ask.query.get("symbol", ""), ask.now)

    @route("contracts", "all", "contracts")
    def contracts(self, ask: Ask) -> object:
        return [
            {
                "symbol": self.symbol(at.listing),
                "baseCoin": at.listing.listed,
                "quoteCoin": "USDT",
                "supportMarginCoins": ["USDT"],
                "minTradeNum": "0.001",
                "priceEndStep": "1",
                "volumePlace": "3",
                "pricePlace": "1",
                "sizeMultiplier": "0.001",
                "symbolType": "perpetual",
                "minTradeUSDT": "5",
                "symbolStatus": "normal",
                "offTime": "-1",
                "limitOpenTime": "-1",
                "deliveryTime": "",
                "launchTime": "" if at.listing.base == "BTC" else str(at.listing.listed_at),
                "fundInterval": str(at.interval_hours),
                "minLever": "1",
                "maxLever": "125",
                "isRwa": "NO",
            }
            for at in self._snapshots(ask)
        ]

    @route("tickers", "all", "tickers")
    def tickers(self, ask: Ask) -> object:
        return [
            {
                "symbol": self.symbol(at.listing),
                "lastPr": plain(at.last),
                "ts": str(ask.now),
                "indexPrice": plain(at.index),
                "markPrice": plain(at.mark),
                "fundingRate": plain(at.rate or 0.0),
                "holdingAmount": plain(at.size),
                "deliveryStatus": "delivery_normal",
            }
            for at in self._snapshots(ask)
        ]

    @route("merge-depth", "all", "merge-depth")
    def order_book(self, ask: Ask) -> object:
        """`max` is every level that there is; the default is 100."""
        self._product(ask)
        most = ask.query.get("limit", "100")
        if most not in ("1", "5", "15", "50", "100", "max"):
            raise InvalidParameter("limit")
        found = books(self.market.snapshot(self._listing(ask), ask.now))
        sides = found.sides(lambda price, size: [plain(price), plain(size)], None if most == "max" else int(most))
        return {**sides, "ts": str(ask.now), "scale": "0.1", "precision": "scale0", "isMaxPrecision": "NO"}

    @route("current-fund-rate", "all", "current-fund-rate")
    def running_rates(self, ask: Ask) -> object:
        return [
            {
                "symbol": self.symbol(at.listing),
                "fundingRate": plain(at.rate or 0.0),
                "fundingRateInterval": str(at.interval_hours),
                "nextUpdate": str(at.next_settlement),
                "minFundingRate": "-0.003",
                "maxFundingRate": "0.003",
            }
            for at in self._snapshots(ask)
        ]

    @route("history-fund-rate", "all", "history-fund-rate")
    def funding(self, ask: Ask) -> bytes:
        self._product(ask)
        listing, size, page = self._listing(ask), ask.limit(20, 100, "pageSize"), ask.integer("pageNo") or 1

        def render(f: Funding) -> Rows:
            times = list(map(str, f.settled_at.tolist()))
            return Rows.objects(f.settled_at, {"symbol": self.symbol(listing), "fundingRate": text(f.rate), "fundingTime": times})

        return self.market.funding_rows(listing.listed, render).newest(ask, size, page)[0]

    @route("/api/v3/market/liquidations", "all", "liquidations")
    def liquidations(self, ask: Ask) -> bytes:
        """Three days, newest first, with a cursor to older ones; the side is the position's, the amount its value in USDT."""
        ask.choice("category", PRODUCTS[0])
        listing, size, page = self._listing(ask), ask.limit(100, 100), ask.integer("cursor") or 1

        def render(forced: Liquidations) -> Rows:
            columns: dict[str, Any] = {"symbol": self.symbol(listing), "side": np.where(forced.long, "buy", "sell")}
            columns |= {"price": text(forced.price), "amount": text(forced.price * forced.size)}
            return Rows.objects(forced.time, {**columns, "ts": list(map(str, forced.time.tolist()))})

        kept = ask.now - 3 * DAY if self.world.history else None
        array, count = self.market.liquidation_rows(listing.listed, render).newest(ask, size, page, since=kept)
        return b'{"list":%s,"cursor":%s}' % (array, b'"%d"' % (page + 1) if count > page * size else b"null")

    @route("candles", "all")
    def recent_candles(self, ask: Ask) -> bytes:
        kinds: dict[str, PriceKind] = {"MARKET": "trade", "MARK": "mark", "INDEX": "index"}
        if (kind := ask.query.get("kLineType", "MARKET").upper()) not in kinds:
            raise InvalidParameter("kLineType")
        return self._bars(ask, kinds[kind], longest=1000)

    @route("history-candles", "all", "history-candles")
    def candles(self, ask: Ask) -> bytes:
        return self._bars(ask, "trade")

    @route("history-mark-candles", "all", "history-mark-candles")
    def mark_candles(self, ask: Ask) -> bytes:
        return self._bars(ask, "mark")

    @route("history-index-candles", "all", "history-index-candles")
    def index_candles(self, ask: Ask) -> bytes:
        return self._bars(ask, "index")

    def _bars(self, ask: Ask, kind: PriceKind, longest: int = 200) -> bytes:
        self._product(ask)
        ask.choice("granularity", "1H")
        listing, limit, (start, end) = self._listing(ask), ask.limit(100, longest), ask.window("startTime", "endTime")
        if start is not None and not 0 <= end - start <= 90 * DAY:
            raise InvalidParameter("startTime")

        def render(bars: Candles) -> Rows:
            volumes = (text(bars.volume), text(bars.quote_volume)) if kind == "trade" else ("0", "0")
            times, prices = list(map(str, bars.opened_at.tolist())), map(text, (bars.open, bars.high, bars.low, bars.close))
            return Rows.arrays(bars.opened_at, times, *prices, *volumes)

        rows, hour = self.market.candle_rows(kind, listing.listed, render), end // MS_HOUR * MS_HOUR
        last = {"unrounded": end - 1, "inclusive": hour}.get(self.reading, hour - 1)
        first = start // MS_HOUR * MS_HOUR if start is not None and self.reading in ("documented", "unrounded") else None
        return rows.page(ask, first, min(last, ask.now - MS_HOUR), limit, newest=True)


VENUE = Bitget
