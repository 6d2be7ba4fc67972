"""Gate futures v4, settle currency USDT: times in seconds, prices as text, sizes in whole contracts.

PEPE is listed whole, ten million to a contract. Funding comes newest first, the rest oldest first. Candles take either both
ends or a limit, statistics a start and a limit. The settle currencies `btc` and `usd1` are empty, the bar in progress is left
out.
The stream has liquidations as orders of a second, those of a contract together, twenty at most; the server pings by the protocol.
Alone: `python -m infra.emulator` and `curl "$URL/gate/api/v4/futures/usdt/contracts"`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask, InvalidParameter, Usage
from infra.emulator.rendering import Rows, plain, text, tick
from infra.emulator.store import MS_HOUR, Candles, Floats, Funding, Liquidations, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.streams import Channel, Forced, Frame, Ping, as_json, json
from infra.emulator.venue import Refused, Venue, route

#: Coins in one contract, as the venue has them; one of every other coin.
COINS_A_CONTRACT = {"BTC": "0.0001", "ETH": "0.01", "XRP": "10", "DOGE": "10", "PEPE": "10000000"}
SETTLE = "{settle:usdt|btc|usd1}"
KINDS: tuple[PriceKind, ...] = ("mark", "index")
POINTS = 2000
#: How many bars back from the present the venue answers.
KEPT = 10_000


def coins_a_contract(listing: Listing) -> float:
    return float(COINS_A_CONTRACT.get(listing.base, "1"))


def contracts(sizes: Floats, listing: Listing) -> list[int | None]:
    """Sizes in coins as whole contracts; None for NaN."""
    return [None if size != size else round(size / coins_a_contract(listing)) for size in sizes.tolist()]


class PublicLiquidates(Channel):
    """`futures.public_liquidates` of contracts or of `!all`; `size` is the order's, `time` milliseconds since 2026-08-20."""

    path = "/v4/ws/{settle:usdt|btc|usd1}"
    every = 1.0
    patience = 30
    pings = True
    most = 20

    def opened(self) -> Iterable[Frame]:
        self.wanted: set[str] = set()
        return ()

    def _said(self, asked: Mapping[str, Any], event: str, **content: object) -> str:
        times = {"time": self.now // 1000, "time_ms": self.now}
        return json({**times, "channel": asked.get("channel", ""), "event": event, **content})

    def receive(self, text: str) -> Iterable[Frame]:
        asked = as_json(text)
        names, event = set(asked.get("payload") or []), str(asked.get("event"))
        if asked.get("channel") == "futures.ping":
            yield self._said({"channel": "futures.pong"}, "", result=None)
        elif not isinstance(asked.get("time"), int) or event != "subscribe":
            yield self._said(asked, event, error={"code": 1, "message": "invalid argument struct"}, result=None)
        elif asked.get("channel") != "futures.public_liquidates":
            yield self._said(asked, event, error={"code": 2, "message": "unknown channel"}, result=None)
        elif unknown := names - {"!all"} - {self.venue.symbol(x) for x in self.venue.trading(self.now)}:
            yield self._said(asked, event, error={"code": 2, "message": f"unknown contract {min(unknown)}"}, result=None)
        else:
            self.wanted |= names
            yield self._said(asked, event, result={"status": "success"})

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        rows: dict[str, list[dict[str, object]]] = defaultdict(list)
        for e in events if self.parts["settle"] == "usdt" else ():
            name, order = self.venue.symbol(e.listing), (-1 if e.long else 1) * e.size / coins_a_contract(e.listing)
            rows[name].append({"price": e.price, "size": order, "time": e.time, "contract": name})
        for name in rows if "!all" in self.wanted else self.wanted & rows.keys():
            for first in range(0, len(rows[name]), self.most):
                yield self._said({"channel": "futures.public_liquidates"}, "update", result=rows[name][first : first + self.most])

    def idle(self, seconds: float) -> Iterable[Frame]:
        return [Ping()] if seconds % 10 == 0 else []


class Gate(Venue):
    name = "gate"
    channels = (PublicLiquidates,)
    root = "/api/v4/futures"
    profile = Profile(0.12, tilt=0.00003, decimals=6, four_hourly=("PEPE",))

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "_USDT"

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        """Of the endpoint that is the nearest to its limit."""
        nearest = min(usages, key=lambda usage: usage.limit - usage.used)
        return {
            "X-Gate-RateLimit-Requests-Remain": str(max(0, nearest.limit - nearest.used)),
            "X-Gate-RateLimit-Limit": str(nearest.limit),
            "X-Gate-RateLimit-Reset-Timestamp": str(int(nearest.resets_at) // 1000),
        }

    def _listing(self, ask: Ask, settle: str, prefix: str = "") -> Listing:
        if settle != "usdt":
            raise Refused("unknown_instrument")
        return self.listing(ask.query.get("contract", "").removeprefix(prefix), ask.now)

    @route(SETTLE + "/contracts", contracts=1)
    def contracts(self, ask: Ask, settle: str) -> object:
        ask.unused("contract")
        listed, offset = self.trading(ask.now) if settle == "usdt" else [], ask.integer("offset") or 0
        limit = ask.limit(len(listed) + 1, 1000)
        return [self._contract(self.market.snapshot(x, ask.now)) for x in listed[offset : offset + limit]]

    def _contract(self, at: Snapshot) -> dict[str, object]:
        rate = "" if at.rate is None else plain(at.rate)
        return {
            "name": self.symbol(at.listing),
            "type": "direct",
            "quanto_multiplier": COINS_A_CONTRACT.get(at.listing.base, "1"),
            "mark_type": "index",
            "mark_price": plain(at.mark),
            "index_price": plain(at.index),
            "last_price": plain(at.last),
            "funding_rate": rate,
            "funding_rate_indicative": rate,
            "funding_interval": at.interval_hours * 3600,
            "funding_next_apply": at.next_settlement // 1000,
            "order_price_deviate": "0.5",
            "order_price_round": plain(tick(at.last)),
            "mark_price_round": plain(tick(at.last)),
            "order_size_min": 1,
            "order_size_max": 1_000_000,
            "leverage_min": "1",
            "leverage_max": "100",
            "position_size": contracts(np.array([at.size]), at.listing)[0],
            "in_delisting": False,
            "status": "trading",
            "contract_type": "",
            "create_time": at.listing.listed_at // 1000,
            "launch_time": at.listing.listed_at // 1000,
            "delisting_time": 0,
            "delisted_time": 0,
        }

    @route(SETTLE + "/order_book", order_book=1)
    def order_book(self, ask: Ask, settle: str) -> object:
        limit, listing, with_id = ask.limit(10, 300), self._listing(ask, settle), ask.query.get("with_id", "false")
        if with_id not in ("true", "false"):
            raise InvalidParameter("with_id")
        size = coins_a_contract(listing)
        sides = books(self.market.snapshot(listing, ask.now)).sides(
            lambda price, coins: {"s": max(1, round(coins / size)), "p": plain(price)}, limit
        )
        named = {"id": ask.now} if with_id == "true" else {}
        return {**named, "current": ask.now / 1000, "update": ask.now / 1000, **sides}

    @route(SETTLE + "/funding_rate", funding_rate=1)
    def funding(self, ask: Ask, settle: str) -> bytes:
        limit, (start, end) = ask.limit(100, 1000), ask.window("from", "to", unit=1000)

        def render(f: Funding) -> Rows:
            return Rows.objects(f.settled_at, {"t": f.settled_at // 1000, "r": text(f.rate)})

        rows = self.market.funding_rows(self._listing(ask, settle).listed, render)
        return rows.page(ask, start, end, limit, newest=True, descending=True)

    @route(SETTLE + "/contract_stats", contract_stats=1)
    def statistics(self, ask: Ask, settle: str) -> bytes:
        ask.choice("interval", "1h")
        limit, (start, _), listing = ask.limit(100, 100), ask.window("from", "to", unit=1000), self._listing(ask, settle)

        def render(oi: OpenInterest) -> Rows:
            columns = {"time": oi.observed_at // 1000, "open_interest": contracts(oi.size, listing)}
            return Rows.objects(oi.observed_at, {**columns, "open_interest_usd": oi.size * oi.mark, "mark_price": oi.mark})

        rows = self.market.open_interest_rows(listing.listed, render)
        return rows.page(ask, start, ask.now, limit, newest=start is None)

    @route(SETTLE + "/liq_orders", liq_orders=1)
    def liquidations(self, ask: Ask, settle: str) -> bytes:
        """Newest first; the size is the position's, the order's is its opposite."""
        limit, (start, end), listing = ask.limit(100, 1000), ask.window("from", "to", unit=1000), self._listing(ask, settle)
        if start is None or end - start > MS_HOUR:
            raise InvalidParameter("from: at most an hour before to")

        def render(forced: Liquidations) -> Rows:
            sizes, prices, times = forced.size / coins_a_contract(listing), text(forced.price), forced.time // 1000
            positions = np.where(forced.long, sizes, -sizes)
            columns = {"time": times, "contract": self.symbol(listing), "size": text(positions), "order_size": text(-positions)}
            return Rows.objects(times * 1000, {**columns, "order_price": prices, "fill_price": prices, "left": 0})

        rows = self.market.liquidation_rows(listing.listed, render)
        return rows.page(ask, start, end, limit, newest=True, descending=True)

    @route(SETTLE + "/candlesticks", candlesticks=1)
    def candles(self, ask: Ask, settle: str) -> bytes:
        ask.choice("interval", "1h")
        limit, (start, end) = ask.limit(100, POINTS), ask.window("from", "to", unit=1000)
        if "limit" in ask.query and ("from" in ask.query or "to" in ask.query):
            raise InvalidParameter("limit: conflicts with from and to")
        if start is not None and (end - start) // MS_HOUR >= POINTS:
            raise InvalidParameter("from: too many points, at most 2000")
        if self.world.history and min(end if start is None else start, end) < ask.now - KEPT * MS_HOUR:
            raise InvalidParameter("from: candlestick too long ago, at most 10000 points ago are allowed")
        kind: PriceKind = next((kind for kind in KINDS if ask.query.get("contract", "").startswith(kind + "_")), "trade")
        listing = self._listing(ask, settle, prefix=kind + "_")

        def render(bars: Candles) -> Rows:
            columns: dict[str, Any] = {"t": bars.opened_at // 1000}
            columns |= {"o": text(bars.open), "h": text(bars.high), "l": text(bars.low), "c": text(bars.close)}
            if kind == "trade":
                columns |= {"v": contracts(bars.volume, listing), "sum": text(bars.quote_volume)}
            return Rows.objects(bars.opened_at, columns)

        rows = self.market.candle_rows(kind, listing.listed, render)
        return rows.page(ask, start, min(end, ask.now - MS_HOUR), limit if start is None else POINTS, newest=True)


VENUE = Gate
