"""MEXC contract v1: JSON numbers in an envelope, whole contracts, milliseconds but for bars.

Bars come oldest first, a list to each field, in seconds; the history of funding in numbered pages from the newest row. PEPE is
listed whole, ten million to a contract. There is no history of open interest.
Alone: `python -m infra.emulator` and `curl "$URL/mexc/api/v1/contract/detail"`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask
from infra.emulator.rendering import Rows, number
from infra.emulator.store import MS_HOUR, Funding, Listing, PriceKind, Profile
from infra.emulator.venue import Venue, route

#: Coins in a contract; one of every other coin.
COINS_A_CONTRACT = {"BTC": 0.0001, "ETH": 0.01, "XRP": 1.0, "DOGE": 100.0, "PEPE": 10_000_000.0}
POINTS = 2000
#: Levels of a side that come without a limit (unverified).
LEVELS = 1000


class Mexc(Venue):
    name = "mexc"
    root = "/api/v1/contract"
    profile = Profile(0.1, tilt=0.00004, decimals=6, four_hourly=("PEPE", "DOGE"))

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "_USDT"

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return b'{"success":true,"code":0,"data":%s}' % data

    def _each(self, ask: Ask, symbol: str, row: Callable[[Snapshot], object]) -> object:
        """A row of each listing, or the one of `symbol`."""
        if symbol:
            return row(self.snapshot(symbol, ask.now))
        return [row(x) for x in self.snapshots(ask.now)]

    @route("detail", "detail")
    def contracts(self, ask: Ask) -> object:
        return self._each(ask, ask.query.get("symbol", ""), self._contract)

    def _contract(self, at: Snapshot) -> object:
        return {
            "symbol": self.symbol(at.listing),
            "displayName": self.symbol(at.listing),
            "baseCoin": at.listing.listed,
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "contractSize": COINS_A_CONTRACT.get(at.listing.base, 1),
            "state": 0,
            "priceScale": 2,
            "priceUnit": 0.1,
            "volUnit": 1,
            "minVol": 1,
            "maxVol": 1_000_000,
            "maxLeverage": 125,
            "takerFeeRate": 0.0006,
            "makerFeeRate": 0.0002,
            "createTime": at.listing.listed_at,
            "indexOrigin": ["BINANCE", "OKX"],
            "isNew": False,
            "conceptPlate": ["mc-trade-zone-pow"],
            "apiAllowed": True,
        }

    @route("ticker", "ticker")
    def tickers(self, ask: Ask) -> object:
        return self._each(ask, ask.query.get("symbol", ""), self._ticker)

    def _ticker(self, at: Snapshot) -> object:
        lots = at.size / COINS_A_CONTRACT.get(at.listing.base, 1)
        return {
            "symbol": self.symbol(at.listing),
            "lastPrice": number(at.last),
            "holdVol": None if lots != lots else round(lots),
            "amount24": None if at.day is None else number(float(at.day.quote_volume.sum())),
            "fairPrice": number(at.mark),
            "indexPrice": number(at.index),
            "fundingRate": at.rate,
            "timestamp": at.now,
        }

    @route("depth/{symbol}", "depth")
    def order_book(self, ask: Ask, symbol: str) -> object:
        """Price, contracts, orders."""
        listing, limit = self.listing(symbol, ask.now), ask.limit(LEVELS, LEVELS)
        size = COINS_A_CONTRACT.get(listing.base, 1)
        sides = books(self.market.snapshot(listing, ask.now)).sides(
            lambda price, coins: [price, max(1, round(coins / size)), 1], limit
        )
        return {**sides, "version": ask.now, "timestamp": ask.now}

    @route("funding_rate", "funding_rate")
    @route("funding_rate/{symbol:\\w+_USDT}", "funding_rate")
    def running_rates(self, ask: Ask, symbol: str = "") -> object:
        return self._each(ask, symbol, self._running_rate)

    def _running_rate(self, at: Snapshot) -> object:
        return {
            "symbol": self.symbol(at.listing),
            "fundingRate": at.rate or 0,
            "maxFundingRate": 0.003,
            "minFundingRate": -0.003,
            "collectCycle": at.interval_hours,
            "nextSettleTime": at.next_settlement,
            "timestamp": at.now,
        }

    @route("funding_rate/history", "funding_rate/history")
    def funding(self, ask: Ask) -> bytes:
        listing = self.listing(ask.query.get("symbol", ""), ask.now)
        size, page = ask.limit(20, 100, "page_size"), ask.integer("page_num") or 1

        def render(f: Funding) -> Rows:
            return Rows.objects(f.settled_at, {"symbol": self.symbol(listing), "fundingRate": f.rate, "settleTime": f.settled_at})

        array, count = self.market.funding_rows(listing.listed, render).newest(ask, size, page)
        body = b'{"pageSize":%d,"totalCount":%d,"totalPage":%d,"currentPage":%d,"resultList":%s}'
        return body % (size, count, -(-count // size), page, array)

    @route("kline/{symbol}", "kline")
    def candles(self, ask: Ask, symbol: str) -> object:
        return self._bars(ask, symbol, "trade")

    @route("kline/fair_price/{symbol}", "kline/fair_price")
    def mark_candles(self, ask: Ask, symbol: str) -> object:
        return self._bars(ask, symbol, "mark")

    @route("kline/index_price/{symbol}", "kline/index_price")
    def index_candles(self, ask: Ask, symbol: str) -> object:
        return self._bars(ask, symbol, "index")

    def _bars(self, ask: Ask, symbol: str, kind: PriceKind) -> object:
        """The first bars of a window that are over; without a start the newest."""
        ask.choice("interval", "Min60")
        listing, (start, end) = self.listing(symbol, ask.now), ask.window("start", "end", unit=1000)
        bars = self.market.candles(listing.listed, kind)
        names = ("time", "open", "close", "high", "low", "vol", "amount")
        if bars is None:
            return dict.fromkeys(names, ())
        span = Rows(bars.opened_at, []).span(ask, start, min(end, ask.now - MS_HOUR), POINTS, newest=start is None)
        size = COINS_A_CONTRACT.get(listing.base, 1)
        volumes = (np.round(bars.volume / size), bars.quote_volume) if kind == "trade" else (bars.volume * 0, bars.volume * 0)
        columns = (bars.opened_at // 1000, bars.open, bars.close, bars.high, bars.low, *volumes)
        return {name: np.nan_to_num(column[span]).tolist() for name, column in zip(names, columns, strict=True)}


VENUE = Mexc
