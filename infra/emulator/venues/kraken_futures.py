"""Kraken Futures as its page describes it: derivatives API (JSON numbers, ISO times), charts (text prices, ms; seconds asked),
analytics, and market history, where liquidations hide among executions.

Linear perpetuals only (`PF_`), XBT for BTC in symbols. Funding comes whole, at most the last 8,900 hours. What the store
doesn't hold is an absent field. Ordinary fills stand between the liquidations only where the market is synthetic.
Alone: `python -m infra.emulator` and `curl $URL/kraken/derivatives/api/v3/tickers`.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from infra.emulator.store import MS_HOUR, Candles, Funding, Liquidations, Listing, OpenInterest, PriceKind, Profile
from infra.emulator.wire import Answer, Ask, Lazy, Refusal, Rows, Usage, Venue, encode, iso, latest, number, plain, text, tick

FUNDING_KEPT = 8900
BARS = 2000
POINTS = 2000
EXECUTIONS = 1000
FILLS = 4  # ordinary fills before each liquidation of the synthetic market
CHARTS: dict[str, PriceKind] = {"trade": "trade", "mark": "mark", "spot": "index"}


def symbol(listing: Listing) -> str:
    return f"PF_{'XBT' if listing.listed == 'BTC' else listing.listed}USD"


def refusal(message: str, now: int) -> Refusal:
    return Refusal(Answer(encode({"result": "error", "error": message, "serverTime": iso(now)})))


def held(**values: float | None) -> dict[str, float]:
    """The numbers that are held."""
    return {name: x for name, value in values.items() if (x := number(value)) is not None}


class Kraken(Venue):
    name = "kraken"
    profile = Profile(0.05, tilt=0.00004, decimals=12, hours=1, interest=False)
    limits: Mapping[str, tuple[int, int]] = {"cost": (500, 10)}  # public endpoints cost nothing of it

    def answer(self, ask: Ask) -> Answer:
        try:
            return Answer(self._body(ask), charges={"cost": 0})
        except ValueError as problem:
            raise refusal(f"invalidArgument: {problem}", ask.now) from None

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return Answer(encode({"result": "error", "error": "apiLimitExceeded"}), 429)

    def error(self, ask: Ask) -> Answer:
        return refusal("Unavailable", ask.now).answer

    def _body(self, ask: Ask) -> bytes:
        match ask.path.removeprefix("/").split("/"):
            case ["derivatives", "api", "v3", "instruments"]:
                return self._success(ask, instruments=[self._contract(x, ask.now) for x in self.trading(ask.now)])
            case ["derivatives", "api", "v3", "tickers"]:
                return self._success(ask, tickers=[self._ticker(x, ask.now) for x in self.trading(ask.now)])
            case ["derivatives", "api", "v3", "history"]:
                return self._trades(ask)
            case ["derivatives", "api", "v4", "historicalfundingrates"]:
                return self._funding(ask)
            case ["api", "charts", "v1", "analytics", name, "open-interest"]:
                return self._open_interest(ask, self._listing(name, ask.now).listed)
            case ["api", "charts", "v1", kind, name, "1h"] if kind in CHARTS:
                return self._candles(ask, self._listing(name, ask.now).listed, CHARTS[kind])
            case ["api", "history", "v3", "market", name, "executions"]:
                return self._executions(ask, self._listing(name, ask.now))
        raise Refusal(Answer(encode({"result": "error", "error": "notFound", "serverTime": iso(ask.now)}), 404))

    @staticmethod
    def _success(ask: Ask, **content: object) -> bytes:
        return encode({"result": "success", **content, "serverTime": iso(ask.now)})

    def _listing(self, name: str | None, now: int) -> Listing:
        for listing in self.market.listings(now):
            if symbol(listing) == (name or "").upper():
                return listing
        raise refusal("Symbol not found", now)

    def _contract(self, listing: Listing, now: int) -> object:
        price = self.market.price(listing.listed, "trade", now)
        price = price if price == price else self.market.price(listing.listed, "mark", now)
        return {
            "symbol": symbol(listing),
            "type": "flexible_futures",
            "tickSize": tick(price),
            "contractSize": 1,
            "tradeable": True,
            "impactMidSize": 1.0,
            "maxPositionSize": 1000000000.0,
            "openingDate": iso(listing.listed_at),
            "marginLevels": [{"numNonContractUnits": 0.0, "initialMargin": 0.02, "maintenanceMargin": 0.01}],
            "fundingRateCoefficient": 24,
            "maxRelativeFundingRate": 0.0025,
            "contractValueTradePrecision": max(-3, int(math.log10(price))) if price > 0 else 0,
            "postOnly": False,
            "mtf": True,
            "base": listing.listed,
            "quote": "USD",
            "pair": f"{listing.listed}:USD",
        }

    def _ticker(self, listing: Listing, now: int) -> object:
        """Funding here is absolute: the rate that holds for this hour, and the estimate for the next, times the mark."""
        coin = listing.listed
        mark, day, running = self.market.price(coin, "mark", now), self.market.day(coin, now), self.market.running_rate(coin, now)
        rate = latest(self.market.funding(coin), "rate", now)
        last = {} if day is None else held(
            last=float(day.close[-1]),
            open24h=float(day.open[0]),
            high24h=float(day.high.max()),
            low24h=float(day.low.min()),
            vol24h=float(day.volume.sum()),
            volumeQuote=float(day.quote_volume.sum()),
        )  # fmt: skip
        return {
            "symbol": symbol(listing),
            "tag": "perpetual",
            "pair": f"{coin}:USD",
            **last,
            **held(
                markPrice=mark,
                indexPrice=self.market.price(coin, "index", now),
                openInterest=latest(self.market.open_interest(coin), "size", now),
                fundingRate=rate * mark,
                fundingRatePrediction=None if running is None else running * mark,
            ),
            "suspended": False,
            "postOnly": False,
        }

    def _funding(self, ask: Ask) -> bytes:
        coin = self._listing(ask.query.get("symbol"), ask.now).listed

        def render(f: Funding) -> Rows:
            absolute = [f'"fundingRate":{x!r},' if x == x else "" for x in (f.rate * f.mark).tolist()]
            stamps = np.datetime_as_string(f.settled_at.astype("datetime64[ms]")).tolist()
            rows = zip(stamps, absolute, f.rate.tolist(), strict=True)
            cell = '{"timestamp":"%sZ",%s"relativeFundingRate":%r}'
            return Rows(f.settled_at, [(cell % row).encode() for row in rows])

        rows = self.market.rows("funding", coin, self.market.funding(coin), render)
        span = rows.span(ask, None, ask.now, FUNDING_KEPT if self.world.history else len(rows.cells), newest=True)
        return b'{"result":"success","serverTime":"%s","rates":%s}' % (iso(ask.now).encode(), rows.array(span))

    def _candles(self, ask: Ask, coin: str, kind: PriceKind) -> bytes:
        since, to = ask.integer("from"), ask.integer("to")

        def render(bars: Candles) -> Rows:
            # a field that isn't held is absent; mark and index bars have a volume of 0 on the wire
            names = ("open", "high", "low", "close")
            texts = [[f'"{name}":"{v}",' if v else "" for v in text(getattr(bars, name))] for name in names]
            volumes = text(bars.volume) if kind == "trade" else ["0"] * len(bars.close)
            columns = zip(bars.opened_at.tolist(), *texts, [f'"volume":"{v}"' if v else "" for v in volumes], strict=True)
            cell = '{"time":%d,%s%s%s%s%s'
            return Rows(bars.opened_at, [((cell % row).rstrip(",") + "}").encode() for row in columns])

        rows = self.market.rows(("candles", kind), coin, self.market.candles(coin, kind), render)
        until = min(ask.now - MS_HOUR, ask.now if to is None else to * 1000)
        start = None if since is None else since * 1000
        span = rows.span(ask, start, until, BARS, newest=start is None)
        more = start is not None and span.stop < int(np.searchsorted(rows.times, until, "right"))
        return b'{"candles":%s,"more_candles":%s}' % (rows.array(span), encode(more))

    def _open_interest(self, ask: Ask, coin: str) -> bytes:
        """Hours that are over as open, high, low, close between the instants at their two ends."""
        since, to = ask.integer("since"), ask.integer("to")
        if since is None:
            raise ValueError("since is required")
        if ask.query.get("interval") != "3600":
            raise ValueError("interval (the emulator keeps 3600)")

        def render(oi: OpenInterest) -> Rows:
            # An hour whose end the store doesn't hold stays where it began.
            first = oi.size
            held = np.append(np.diff(oi.observed_at) == MS_HOUR, False)
            last = np.where(held, np.append(first[1:], np.nan), first)
            columns = zip(*(x.tolist() for x in (first, np.maximum(first, last), np.minimum(first, last), last)), strict=True)
            return Rows(oi.observed_at, [b"[%s]" % ",".join(map(repr, row)).encode() for row in columns])

        rows = self.market.rows("open_interest", coin, self.market.open_interest(coin), render)
        until = min(ask.now - MS_HOUR, ask.now if to is None else to * 1000)
        span = rows.span(ask, since * 1000, until, POINTS)
        more = span.stop < int(np.searchsorted(rows.times, until, "right"))
        stamps = encode((rows.times[span] // 1000).tolist())
        return b'{"result":{"timestamp":%s,"more":%s,"data":%s},"errors":[]}' % (stamps, encode(more), rows.array(span))

    def _fills(self, listing: Listing) -> Rows:
        """Executions: every liquidation and, where the market is synthetic, ordinary fills before each."""
        ordinary = FILLS if self.market.store.origin.startswith("synthetic") else 0
        events = self.market.liquidations(listing.listed)
        marks = self.market.candles(listing.listed, "mark")
        name = symbol(listing)

        def render(events: Liquidations) -> Rows:
            at = events.time
            before = np.concatenate(([0], at[:-1]))
            # Events of one ms are told apart by their order.
            seen = np.arange(len(at)) - np.searchsorted(at, at, "left")
            when = np.maximum(at[:, None] - np.arange(ordinary, -1, -1), before[:, None]).ravel()

            def cell(number: int) -> bytes:
                event, n = divmod(number, ordinary + 1)
                n = ordinary - n
                time = int(at[event])
                key = f"{name} {time} {int(seen[event])} {n}"
                mark = latest(marks, "close", time - MS_HOUR)
                long, price, size = bool(events.long[event]), float(events.price[event]), float(events.size[event])
                return encode(_execution(name, key, int(when[number]), long, price, size, mark, forced=n == 0))

            return Rows(when, Lazy(cell, len(when)))

        return self.market.rows("executions", listing.listed, events, render)

    def _executions(self, ask: Ask, listing: Listing) -> bytes:
        since, before, count = ask.integer("since"), ask.integer("before"), ask.integer("count")
        if count is not None and not 1 <= count <= EXECUTIONS:
            raise ValueError("count")
        limit = EXECUTIONS if count is None else count
        descending = ask.query.get("sort", "desc") != "asc"
        rows = self._fills(listing)
        low = 0 if since is None else int(np.searchsorted(rows.times, since, "left"))
        high = int(np.searchsorted(rows.times, min(ask.now + 1, ask.now + 1 if before is None else before), "left"))
        token = ask.query.get("continuationToken") or ask.query.get("continuation_token")
        if token:
            low, high = (low, _decoded(token)) if descending else (_decoded(token), high)
        span = slice(max(low, high - limit), high) if descending else slice(low, min(low + limit, high))
        more = span.start > low if descending else span.stop < high
        following = _encoded(span.start if descending else span.stop)
        tail = b',"continuationToken":"%s"' % following if more else b""
        shown = slice(max(0, span.start - ask.overlap), max(span.start, span.stop))
        return b'{"elements":%s,"len":%d%s}' % (rows.array(shown, descending=descending), shown.stop - shown.start, tail)

    def _trades(self, ask: Ask) -> bytes:
        """The last 100 trades before `lastTime`, newest first."""
        listing = self._listing(ask.query.get("symbol"), ask.now)
        asked = ask.moment("lastTime")
        until = ask.now if asked is None else asked - 1
        rows = self._fills(listing)
        span = rows.span(ask, None, min(until, ask.now), 100, newest=True)
        return self._success(ask, history=[_trade(cell, n) for n, cell in enumerate(reversed(rows.cells[span]), 1)])


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


def _trade(cell: bytes, number: int) -> dict[str, Any]:
    e = msgspec.json.decode(cell)["event"]["Execution"]["execution"]
    forced = "Liquidation" in e["takerOrder"]["orderType"]
    return {
        "time": iso(e["timestamp"]),
        "trade_id": number,
        "price": float(e["price"]),
        "size": float(e["quantity"]),
        "side": e["takerOrder"]["direction"].lower(),
        "type": "liquidation" if forced else "fill",
        "uid": e["uid"],
    }


def _uid(key: str) -> str:
    return str(uuid.UUID(bytes=blake2b(key.encode(), digest_size=16).digest()))


def _encoded(at: int) -> bytes:
    return base64.urlsafe_b64encode(b"%d" % at)


def _decoded(token: str) -> int:
    """Raises ValueError for a token that isn't ours."""
    return int(base64.urlsafe_b64decode(token.encode()))


VENUE = Kraken
