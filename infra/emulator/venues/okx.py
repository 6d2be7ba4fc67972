"""OKX v5: an envelope with a text `code`, numbers and times as text, pages newest first, exclusive bounds.

Swaps are the listed coin + `-USDT-SWAP`, all linear; other kinds of instruments are known and none are listed. Sizes are
contracts of `CONTRACTS`, fractions included. `after` is older than, `before` newer than. Open interest is kept for 1440 hours,
funding for 90 days, liquidations for 7. `fundingRate` in the history is a forecast, off by `FORECAST_ERROR`. The bar in progress
is left out. A limit that the venue counts by address and instrument is counted by address alone. The stream of liquidations has
at most one of a contract and second, and begins with those of the last minutes.
Alone: `python -m infra.emulator` and `curl "$URL/okx/api/v5/public/instruments?instType=SWAP"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Snapshot, latest
from infra.emulator.messages import Ask
from infra.emulator.rendering import Rows, plain, text, tick
from infra.emulator.store import MS_HOUR, Candles, Floats, Funding, Ints, Liquidations, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, happened, json, largest_a_symbol
from infra.emulator.venue import Venue, route

#: Coins in one contract.
CONTRACTS = {"BTC": 0.01, "ETH": 0.1, "SOL": 1.0, "XRP": 100.0, "DOGE": 1000.0, "HYPE": 0.1, "LINK": 1.0, "PEPE": 10_000_000.0}
FORECAST_ERROR = 1.51e-06
INSTRUMENT_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
DAY = 24 * MS_HOUR
ENTRIES = 1440


def contracts(coin: str, sizes: Floats) -> list[str]:
    """Sizes in coins as contracts, to eight decimals."""
    return [plain(round(size / CONTRACTS[coin], 8)) for size in sizes.tolist()]


def stamps(times: Ints) -> list[str]:
    return list(map(str, times.tolist()))


class LiquidationOrders(Channel):
    """The channel `liquidation-orders` by kind of instrument. A client that is silent for 30 seconds is cut off."""

    path = "/ws/v5/public"
    every = 1.0
    patience = 30

    subscribed = False

    def receive(self, text: str) -> Iterable[Frame]:
        if text == "ping":
            yield "pong"
            return
        asked = as_json(text)
        if asked.get("op") not in ("subscribe", "unsubscribe") or len(text) > 65_536:
            yield json({"event": "error", "code": "60012", "msg": f"Invalid request: {text[:80]}", "connId": "a4d3ae55"})
            return
        for arg in asked.get("args", []):
            if arg.get("channel") != "liquidation-orders" or arg.get("instType") not in INSTRUMENT_TYPES:
                message = f"Wrong URL or channel:{arg.get('channel')} doesn't exist. Please use the correct URL and channel"
                yield json({"event": "error", "code": "60018", "msg": message, "arg": arg, "connId": "a4d3ae55"})
                continue
            self.subscribed = asked["op"] == "subscribe" and arg["instType"] == "SWAP"
            yield json({"event": asked["op"], "arg": arg, "connId": "a4d3ae55"})
            if self.subscribed:
                yield from self.push(happened(self.markets, self.now - 300_000, self.now))

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        for event in largest_a_symbol(events) if self.subscribed else ():
            family = f"{event.listing.listed}-USDT"
            [size] = contracts(event.listing.listed, np.array([event.size]))
            side, position = ("sell", "long") if event.long else ("buy", "short")
            detail = {"bkLoss": "0", "bkPx": plain(event.price), "ccy": "", "posSide": position, "side": side, "sz": size}
            names = {"instFamily": family, "instId": f"{family}-SWAP", "instType": "SWAP", "uly": family}
            arg = {"channel": "liquidation-orders", "instType": "SWAP"}
            yield json({"arg": arg, "data": [{"details": [detail | {"ts": str(event.time)}], **names}]})


class Okx(Venue):
    name = "okx"
    root = "/api/v5"
    channels = (LiquidationOrders,)
    profile = Profile(0.22, tilt=0.00001, decimals=10, four_hourly=("DOGE", "HYPE"), changing={"XRP": 2})

    def symbol(self, listing: Listing) -> str:
        return f"{listing.listed}-USDT-SWAP"

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return b'{"code":"0","msg":"","data":%s}' % data

    def _swap(self, ask: Ask) -> Listing:
        return self.listing(ask.required("instId"), ask.now)

    def _of_type(self, ask: Ask, row: Callable[[Snapshot], object]) -> object:
        """A row of each instrument of the requested kind, or of one."""
        ask.unused("uly", "instFamily")
        kind = ask.choice("instType", *INSTRUMENT_TYPES)
        listed = [] if kind != "SWAP" else [self._swap(ask)] if "instId" in ask.query else self.trading(ask.now)
        return [row(self.market.snapshot(x, ask.now)) for x in listed]

    def _page(
        self,
        ask: Ask,
        rows: Rows,
        longest: int,
        default: int,
        *,
        kept: int,
        last: int,
        bounds: tuple[str, str] = ("before", "after"),
    ) -> bytes:
        """The newest rows between two exclusive bounds, of those from the last `kept` ms up to `last`."""
        limit, newer, older = ask.limit(default, longest), ask.integer(bounds[0]), ask.integer(bounds[1])
        since = last - kept if kept and self.world.history else 0
        start = since if newer is None else max(since, newer + 1)
        end = last if older is None else min(last, older - 1)
        return rows.page(ask, start, end, limit, newest=True, descending=True)

    @route("public/time")
    def time(self, ask: Ask) -> object:
        return [{"ts": str(ask.now)}]

    @route("public/instruments", "instruments")
    def instruments(self, ask: Ask) -> object:
        return self._of_type(ask, self._instrument)

    def _instrument(self, at: Snapshot) -> object:
        coin, listing = at.listing.listed, at.listing
        return {
            "alias": "",
            "baseCcy": "",
            "category": "1",
            "ctMult": "1",
            "ctType": "linear",
            "ctVal": plain(CONTRACTS[coin]).removesuffix(".0"),
            "ctValCcy": coin,
            "expTime": "" if listing.delisted_at is None else str(listing.delisted_at),
            "instCategory": "1",
            "instFamily": f"{coin}-USDT",
            "instId": self.symbol(listing),
            "instType": "SWAP",
            "lever": "100",
            "listTime": str(listing.listed_at),
            "lotSz": "0.01",
            "minSz": "0.01",
            "optType": "",
            "quoteCcy": "",
            "ruleType": "normal",
            "settleCcy": "USDT",
            "state": "live",
            "stk": "",
            "tickSz": plain(tick(at.last)),
            "uly": f"{coin}-USDT",
        }

    @route("market/books-full", "order_book_depth")
    def order_books(self, ask: Ask) -> object:
        return self._order_books(ask, 5000, ["1"])

    @route("market/books")
    def short_order_books(self, ask: Ask) -> object:
        return self._order_books(ask, 400, ["0", "1"])

    def _order_books(self, ask: Ask, most: int, more: list[str]) -> object:
        listing, limit = self._swap(ask), ask.limit(1, most, "sz")
        found = books(self.market.snapshot(listing, ask.now))
        coin = listing.listed
        sides = found.sides(lambda price, size: [plain(price), contracts(coin, np.array([size]))[0], *more], limit)
        return [{**sides, "ts": str(ask.now)}]

    @route("public/mark-price", "mark_prices")
    def mark_prices(self, ask: Ask) -> object:
        def row(at: Snapshot) -> object:
            return {"instType": "SWAP", "instId": self.symbol(at.listing), "markPx": plain(at.mark), "ts": str(at.now)}

        return self._of_type(ask, row)

    @route("public/open-interest", "open_interest_now")
    def open_interest_now(self, ask: Ask) -> object:
        def row(at: Snapshot) -> object:
            return {
                "instType": "SWAP",
                "instId": self.symbol(at.listing),
                "oi": contracts(at.listing.listed, np.array([at.size]))[0],
                "oiCcy": plain(at.size),
                "oiUsd": plain(at.size * at.mark),
                "ts": str(at.now),
            }

        return self._of_type(ask, row)

    @route("public/funding-rate", "running_rates")
    def running_rates(self, ask: Ask) -> object:
        listed = self.trading(ask.now) if ask.query.get("instId") == "ANY" else [self._swap(ask)]
        return [self._running_rate(self.market.snapshot(x, ask.now)) for x in listed]

    def _running_rate(self, at: Snapshot) -> object:
        coming, step = at.next_settlement, at.interval_hours * MS_HOUR
        return {
            "formulaType": "withRate",
            "fundingRate": "" if at.rate is None else plain(at.rate),
            "fundingTime": str(coming),
            "instId": self.symbol(at.listing),
            "instType": "SWAP",
            "interestRate": "0.0001",
            "method": "current_period",
            "nextFundingRate": "",
            "nextFundingTime": str(coming + step),
            "prevFundingTime": str(coming - step),
            "settFundingRate": plain(latest(self.market.funding(at.listing.listed), "rate", coming - step)),
            "settState": "settled",
            "ts": str(at.now),
        }

    @route("public/funding-rate-history", "funding_rates")
    def funding(self, ask: Ask) -> bytes:
        listing = self._swap(ask)

        def render(f: Funding) -> Rows:
            columns: dict[str, Any] = {"instType": "SWAP", "instId": self.symbol(listing)}
            columns |= {"fundingRate": text(f.rate + FORECAST_ERROR), "realizedRate": text(f.rate)}
            columns |= {"fundingTime": stamps(f.settled_at), "method": "current_period", "formulaType": "withRate"}
            return Rows.objects(f.settled_at, columns)

        rows = self.market.funding_rows(listing.listed, render)
        return self._page(ask, rows, 400, 400, kept=90 * DAY, last=ask.now)

    @route("rubik/stat/contracts/open-interest-history", "open_interest")
    def open_interest(self, ask: Ask) -> bytes:
        ask.choice("period", "1H")
        coin = self._swap(ask).listed

        def render(oi: OpenInterest) -> Rows:
            return Rows.arrays(
                oi.observed_at, stamps(oi.observed_at), contracts(coin, oi.size), text(oi.size), text(oi.size * oi.mark)
            )

        rows, last = self.market.open_interest_rows(coin, render), ask.now // MS_HOUR * MS_HOUR
        return self._page(ask, rows, 100, 100, kept=(ENTRIES - 1) * MS_HOUR, last=last, bounds=("begin", "end"))

    @route("public/liquidation-orders", "liquidations")
    def liquidations(self, ask: Ask) -> object:
        """Those of a family, newest first, inside an object; the side is the order's."""
        ask.choice("instType", "SWAP")
        ask.choice("state", "filled")
        family = ask.required("instFamily")
        coin = self.listing(f"{family}-SWAP", ask.now).listed

        def render(forced: Liquidations) -> Rows:
            columns: dict[str, Any] = {"bkLoss": "0", "bkPx": text(forced.price), "ccy": ""}
            columns |= {"posSide": np.where(forced.long, "long", "short"), "side": np.where(forced.long, "sell", "buy")}
            return Rows.objects(forced.time, {**columns, "sz": contracts(coin, forced.size), "ts": stamps(forced.time)})

        rows = self.market.liquidation_rows(coin, render)
        details = self._page(ask, rows, 100, 100, kept=7 * DAY, last=ask.now)
        names = f'"instFamily":"{family}","instId":"{family}-SWAP","instType":"SWAP","uly":"{family}"'
        return b'[{"details":%s,%s}]' % (details, names.encode())

    @route("market/{history:history-|}candles", "candles")
    def candles(self, ask: Ask, history: str) -> bytes:
        return self._bars(ask, "trade", 300, history)

    @route("market/{history:history-|}mark-price-candles", "mark_candles")
    def mark_candles(self, ask: Ask, history: str) -> bytes:
        return self._bars(ask, "mark", 100, history)

    @route("market/{history:history-|}index-candles", "index_candles")
    def index_candles(self, ask: Ask, history: str) -> bytes:
        """An index is named by the pair."""
        return self._bars(ask, "index", 100, history, ending="-SWAP")

    def _bars(self, ask: Ask, kind: PriceKind, longest: int, history: str, ending: str = "") -> bytes:
        """Bars that are over; without `history` the last ones alone."""
        ask.choice("bar", "1H")
        coin = self.listing(ask.required("instId") + ending, ask.now).listed

        def render(bars: Candles) -> Rows:
            columns = [stamps(bars.opened_at), *map(text, (bars.open, bars.high, bars.low, bars.close))]
            if kind == "trade":
                columns += [contracts(coin, bars.volume), text(bars.volume), text(bars.quote_volume)]
            return Rows.arrays(bars.opened_at, *columns, "1")

        rows = self.market.candle_rows(kind, coin, render)
        return self._page(ask, rows, longest, 100, kept=0 if history else ENTRIES * MS_HOUR, last=ask.now - MS_HOUR)


VENUE = Okx
