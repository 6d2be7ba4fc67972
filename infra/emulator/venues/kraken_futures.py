"""Kraken Futures as its page describes it: derivatives API (JSON numbers, ISO times), charts (text prices, ms; seconds asked),
analytics, and market history, where liquidations are among the executions.

Linear perpetuals only (`PF_`), XBT for BTC in symbols. Funding comes whole, at most the last 8,900 hours. A value that the store
lacks is an absent field. Ordinary fills come between the liquidations only where the market is synthetic. Trades of the stream
have the `uid` of their executions.
Alone: `python -m infra.emulator` and `curl $URL/kraken/derivatives/api/v3/tickers`.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Snapshot, latest
from infra.emulator.messages import Ask, MissingParameter
from infra.emulator.rendering import Lazy, Rows, encode, iso, plain, text, tick
from infra.emulator.store import MS_HOUR, Candles, Funding, Liquidations, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, json
from infra.emulator.venue import Venue, route

FUNDING_KEPT = 8900
BARS = 2000
POINTS = 2000
EXECUTIONS = 1000
FILLS = 4  # ordinary fills before each liquidation of the synthetic market
CHARTS: dict[str, PriceKind] = {"trade": "trade", "mark": "mark", "spot": "index"}


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose values the store has."""
    return {name: value for name, value in values.items() if value not in (None, "") and value == value}


def rows_of_known(times: Any, columns: Mapping[str, list[Any]]) -> Rows:
    """A JSON object to each time, without the fields that the store lacks."""
    return Rows(times, [encode(known(dict(zip(columns, row, strict=True)))) for row in zip(*columns.values(), strict=True)])


class Trades(Channel):
    """The feed `trade`: the last trades first, then each; before each liquidation an ordinary fill."""

    path = "/ws/v1"
    patience = 60
    pings = True
    per_second = 100

    def opened(self) -> Iterable[Frame]:
        self.numbers: dict[str, int] = {}
        yield json({"event": "info", "version": 1})

    def receive(self, text: str) -> Iterable[Frame]:
        asked = as_json(text)
        names = asked.get("product_ids") or []
        known = {self.venue.symbol(x): x for x in self.venue.trading(self.now)}
        if asked.get("event") != "subscribe" or asked.get("feed") != "trade":
            yield json({"event": "alert", "message": "Bad request"})
        elif not names or not set(names) <= known.keys():
            yield json({"event": "alert", "message": "Invalid product id"})
        else:
            yield json({"event": "subscribed", "feed": "trade", "product_ids": names})
            for name in names:
                self.numbers.setdefault(name, 1000)
                price = self.venue.market.price(known[name].listed, "trade", self.now)
                fill = Forced(self.venue.name, known[name], self.now, True, price, 1.0)
                yield json({"feed": "trade_snapshot", "product_id": name, "trades": [self._trade(name, fill, 0, forced=False)]})

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        seen: Counter[tuple[str, int]] = Counter()
        for event in events:
            name = self.venue.symbol(event.listing)
            order = seen[name, event.time]
            seen[name, event.time] += 1
            if name in self.numbers:
                for forced in (False, True):
                    yield json(self._trade(name, event, order, forced=forced))

    def _trade(self, name: str, event: Forced, order: int, *, forced: bool) -> dict[str, object]:
        """`order` is the event's place among those of its millisecond."""
        self.numbers[name] += 1
        return {
            "feed": "trade",
            "product_id": name,
            "uid": _uid(f"{name} {event.time} {order} {0 if forced else 1}"),
            "side": "sell" if event.long else "buy",
            "type": "liquidation" if forced else "fill",
            "seq": self.numbers[name],
            "time": event.time,
            "qty": event.size if forced else event.size / 2,
            "price": event.price,
        }


class Kraken(Venue):
    name = "kraken"
    channels = (Trades,)
    profile = Profile(0.05, tilt=0.00004, decimals=12, hours=1, interest=False)

    def symbol(self, listing: Listing) -> str:
        return f"PF_{'XBT' if listing.listed == 'BTC' else listing.listed}USD"

    @staticmethod
    def _success(ask: Ask, **content: object) -> object:
        return {"result": "success", **content, "serverTime": iso(ask.now)}

    def _coin(self, ask: Ask, symbol: str | None = None) -> str:
        return self.listing((symbol or ask.query.get("symbol", "")).upper(), ask.now).listed

    @route("/derivatives/api/v3/instruments")
    def instruments(self, ask: Ask) -> object:
        return self._success(ask, instruments=[self._contract(at) for at in self.snapshots(ask.now)])

    def _contract(self, at: Snapshot) -> object:
        coin, price = at.listing.listed, at.last if at.last == at.last else at.mark
        return {
            "symbol": self.symbol(at.listing),
            "type": "flexible_futures",
            "tickSize": tick(price),
            "contractSize": 1,
            "tradeable": True,
            "impactMidSize": 1.0,
            "maxPositionSize": 1000000000.0,
            "openingDate": iso(at.listing.listed_at),
            "marginLevels": [{"numNonContractUnits": 0.0, "initialMargin": 0.02, "maintenanceMargin": 0.01}],
            "fundingRateCoefficient": 24,
            "maxRelativeFundingRate": 0.0025,
            "contractValueTradePrecision": max(-3, int(math.log10(price))) if price > 0 else 0,
            "postOnly": False,
            "mtf": True,
            "base": coin,
            "quote": "USD",
            "pair": f"{coin}:USD",
        }

    @route("/derivatives/api/v3/tickers")
    def tickers(self, ask: Ask) -> object:
        return self._success(ask, tickers=[self._ticker(at) for at in self.snapshots(ask.now)])

    def _ticker(self, at: Snapshot) -> object:
        """Funding here is absolute: the rate of this hour, and the estimate for the next, times the mark."""
        coin = at.listing.listed
        values = {
            "markPrice": at.mark,
            "indexPrice": at.index,
            "openInterest": at.size,
            "fundingRate": latest(self.market.funding(coin), "rate", at.now) * at.mark,
            "fundingRatePrediction": None if at.rate is None else at.rate * at.mark,
        }
        names = {"symbol": self.symbol(at.listing), "tag": "perpetual", "pair": f"{coin}:USD"}
        return {**names, **known(values), "suspended": False, "postOnly": False}

    @route("/derivatives/api/v3/orderbook")
    def order_book(self, ask: Ask) -> object:
        found = books(self.snapshot(ask.query.get("symbol", "").upper(), ask.now))
        return self._success(ask, orderBook={"bids": found.bids, "asks": found.asks})

    @route("/derivatives/api/v4/historicalfundingrates")
    def funding(self, ask: Ask) -> object:
        def render(f: Funding) -> Rows:
            stamps = [f"{stamp}Z" for stamp in np.datetime_as_string(f.settled_at.astype("datetime64[ms]")).tolist()]
            columns = {"timestamp": stamps, "fundingRate": (f.rate * f.mark).tolist(), "relativeFundingRate": f.rate.tolist()}
            return rows_of_known(f.settled_at, columns)

        rows = self.market.funding_rows(self._coin(ask), render)
        limit = FUNDING_KEPT if self.world.history else len(rows.cells)
        return self._success(ask, rates=msgspec.Raw(rows.page(ask, None, ask.now, limit, newest=True)))

    @route("/api/charts/v1/{chart:trade|mark|spot}/{symbol}/1h")
    def candles(self, ask: Ask, chart: str, symbol: str) -> object:
        kind, (start, end) = CHARTS[chart], ask.window("from", "to", unit=1000)

        def render(bars: Candles) -> Rows:
            prices = {name: text(getattr(bars, name)) for name in ("open", "high", "low", "close")}
            volumes = text(bars.volume) if kind == "trade" else ["0"] * len(bars.close)  # as the venue has it
            return rows_of_known(bars.opened_at, {"time": bars.opened_at.tolist(), **prices, "volume": volumes})

        rows = self.market.candle_rows(kind, self._coin(ask, symbol), render)
        until = min(ask.now - MS_HOUR, end)
        span = rows.span(ask, start, until, BARS, newest=start is None)
        more = start is not None and span.stop < int(np.searchsorted(rows.times, until, "right"))
        return {"candles": msgspec.Raw(rows.array(span)), "more_candles": more}

    @route("/api/charts/v1/analytics/{symbol}/open-interest")
    def open_interest(self, ask: Ask, symbol: str) -> object:
        """Hours that are over as open, high, low, close between the instants at their two ends."""
        start, end = ask.window("since", "to", unit=1000)
        if start is None:
            raise MissingParameter("since is required")
        ask.choice("interval", "3600")

        def render(oi: OpenInterest) -> Rows:
            # Where the store lacks the end of an hour, the open interest stays as it began.
            first = oi.size
            has_end = np.append(np.diff(oi.observed_at) == MS_HOUR, False)
            last = np.where(has_end, np.append(first[1:], np.nan), first)
            return Rows.arrays(oi.observed_at, first, np.maximum(first, last), np.minimum(first, last), last)

        rows = self.market.open_interest_rows(self._coin(ask, symbol), render)
        until = min(ask.now - MS_HOUR, end)
        span = rows.span(ask, start, until, POINTS)
        more = span.stop < int(np.searchsorted(rows.times, until, "right"))
        series = {"timestamp": (rows.times[span] // 1000).tolist(), "more": more, "data": msgspec.Raw(rows.array(span))}
        return {"result": series, "errors": []}

    def _fills(self, listing: Listing) -> Rows:
        """Executions: every liquidation and, where the market is synthetic, ordinary fills before each."""
        ordinary = FILLS if self.market.store.origin.startswith("synthetic") else 0
        marks = self.market.candles(listing.listed, "mark")
        name = self.symbol(listing)

        def render(events: Liquidations) -> Rows:
            at = events.time
            before = np.concatenate(([0], at[:-1]))
            # The order of events tells those of one ms apart, as in the stream.
            order = np.arange(len(at)) - np.searchsorted(at, at, "left")
            when = np.maximum(at[:, None] - np.arange(ordinary, -1, -1), before[:, None]).ravel()

            def cell(number: int) -> bytes:
                event, n = divmod(number, ordinary + 1)
                n = ordinary - n
                time = int(at[event])
                key = f"{name} {time} {int(order[event])} {n}"
                mark = latest(marks, "close", time - MS_HOUR)
                long, price, size = bool(events.long[event]), float(events.price[event]), float(events.size[event])
                return encode(_execution(name, key, int(when[number]), long, price, size, mark, forced=n == 0))

            return Rows(when, Lazy(cell, len(when)))

        return self.market.liquidation_rows(listing.listed, render)

    @route("/api/history/v3/market/{symbol}/executions")
    def executions(self, ask: Ask, symbol: str) -> object:
        since, before, limit = ask.integer("since"), ask.integer("before"), ask.limit(EXECUTIONS, EXECUTIONS, "count")
        descending = ask.query.get("sort", "desc") != "asc"
        rows = self._fills(self.listing(symbol.upper(), ask.now))
        low = 0 if since is None else int(np.searchsorted(rows.times, since, "left"))
        high = int(np.searchsorted(rows.times, min(ask.now + 1, ask.now + 1 if before is None else before), "left"))
        if token := ask.query.get("continuation_token"):
            low, high = (low, _decoded(token)) if descending else (_decoded(token), high)
        span = slice(max(low, high - limit), high) if descending else slice(low, min(low + limit, high))
        more = span.start > low if descending else span.stop < high
        token_after = {"continuationToken": _encoded(span.start if descending else span.stop)} if more else {}
        shown = slice(max(0, span.start - ask.overlap), max(span.start, span.stop))
        elements = msgspec.Raw(rows.array(shown, descending=descending))
        return {"elements": elements, "len": shown.stop - shown.start, **token_after}


def _execution(
    name: str, key: str, at: int, sold: bool, price: float, size: float, mark: float, *, forced: bool
) -> dict[str, Any]:
    """One element of the history; only what is forced has the size of the event, a fill has its half."""
    quantity = plain(size if forced else size / 2)

    def order(role: str, direction: str, kind: str) -> dict[str, Any]:
        return {
            "uid": _uid(key + role),
            "tradeable": name,
            "direction": direction,
            "quantity": quantity,
            "timestamp": at,
            "limitPrice": plain(price),
            "orderType": kind,
            "reduceOnly": forced and role == "taker",
            "lastUpdateTimestamp": at,
        }

    execution = {
        "uid": _uid(key),
        "makerOrder": order("maker", "Buy" if sold else "Sell", "Post"),
        "takerOrder": order("taker", "Sell" if sold else "Buy", "PartialLiquidation" if forced else "Market"),
        "timestamp": at,
        "quantity": quantity,
        "price": plain(price),
        **({"markPrice": plain(mark)} if mark == mark else {}),
        "limitFilled": False,
        "usdValue": plain(price * (size if forced else size / 2)),
    }
    event = {"Execution": {"execution": execution, "takerReducedQuantity": ""}}
    return {"uid": _uid(key + "event"), "timestamp": at, "event": event}


def _uid(key: str) -> str:
    return str(uuid.UUID(bytes=blake2b(key.encode(), digest_size=16).digest()))


def _encoded(at: int) -> str:
    return base64.urlsafe_b64encode(b"%d" % at).decode()


def _decoded(token: str) -> int:
    """Raises ValueError for a token that isn't ours."""
    return int(base64.urlsafe_b64decode(token.encode()))


VENUE = Kraken
