"""Gate futures v4, settle currency USDT: times in seconds, prices as text, sizes in whole contracts.

PEPE is listed whole, ten million to a contract. Funding comes newest first, the rest oldest first. Candles take either both
ends or a limit, statistics a start and a limit. The settle currencies `btc` and `usd1` are empty, the bar in progress is left
out.
Alone: `python -m infra.emulator` and `curl "$URL/gate/api/v4/futures/usdt/contracts"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from infra.emulator.store import (
    MS_HOUR,
    Candles,
    Floats,
    Funding,
    Liquidations,
    Listing,
    OpenInterest,
    PriceKind,
    Profile,
)
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
    plain,
    text,
    tick,
)

#: Coins in one contract, as the venue has them; one of every other coin.
COINS_A_CONTRACT = {"BTC": "0.0001", "ETH": "0.01", "XRP": "10", "DOGE": "10", "PEPE": "10000000"}
ENDPOINTS = ("contracts", "funding_rate", "contract_stats", "candlesticks", "liq_orders")
KINDS: tuple[PriceKind, ...] = ("mark", "index")
POINTS = 2000


def refusal(label: str, message: str, status: int = 400) -> Refusal:
    return Refusal(Answer(encode({"label": label, "message": message}), status))


def contracts(sizes: Floats, base: str) -> list[int | None]:
    """Sizes in coins as whole contracts; None for NaN."""
    coins = float(COINS_A_CONTRACT.get(base, "1"))
    return [None if size != size else round(size / coins) for size in sizes.tolist()]


class Gate(Venue):
    name = "gate"
    profile = Profile(0.12, tilt=0.00003, decimals=6, four_hourly=("PEPE",))
    limits: Mapping[str, tuple[int, int]] = dict.fromkeys(ENDPOINTS, (200, 10))

    def answer(self, ask: Ask) -> Answer:
        root, _, endpoint = ask.path.rpartition("/")
        settle = root.removeprefix("/api/v4/futures/")
        if endpoint not in ENDPOINTS or settle not in ("usdt", "btc", "usd1"):
            raise refusal("NOT_FOUND", "The requested resource could not be found", 404)
        try:
            return Answer(getattr(self, "_" + endpoint)(ask, settle), charges={endpoint: 1})
        except ValueError as problem:
            raise refusal("INVALID_PARAM_VALUE", f"Invalid request parameter {problem}") from None

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("TOO_MANY_REQUESTS", "Request Rate Limit Exceeded (200 requests per 10 s)", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("SERVER_ERROR", "Internal server error", 500).answer

    def blocked(self) -> Answer:
        return refusal("FORBIDDEN", "access from your region is restricted", 403).answer

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        """Of the endpoint that is the nearest to its limit."""
        nearest = min(usages, key=lambda usage: usage.limit - usage.used)
        return {
            "X-Gate-RateLimit-Requests-Remain": str(max(0, nearest.limit - nearest.used)),
            "X-Gate-RateLimit-Limit": str(nearest.limit),
            "X-Gate-RateLimit-Reset-Timestamp": str(int(nearest.resets_at) // 1000),
        }

    def _listing(self, name: str, settle: str, now: int) -> Listing:
        for listing in self.market.listings(now) if settle == "usdt" else []:
            if listing.listed + "_USDT" == name:
                return listing
        raise refusal("CONTRACT_NOT_FOUND", "Contract not found")

    @staticmethod
    def _limit(ask: Ask, default: int, most: int) -> int:
        limit = ask.integer("limit")
        if limit is not None and not 1 <= limit <= most:
            raise ValueError("limit")
        return default if limit is None else limit

    @staticmethod
    def _ends(ask: Ask) -> tuple[int | None, int]:
        """`from` and `to` in milliseconds, the end not after now."""
        start, end = ask.integer("from"), ask.integer("to")
        return None if start is None else start * 1000, ask.now if end is None else min(end * 1000, ask.now)

    def _contracts(self, ask: Ask, settle: str) -> bytes:
        found, offset = self.trading(ask.now) if settle == "usdt" else [], ask.integer("offset") or 0
        limit = self._limit(ask, len(found) + 1, 1000)
        return encode([self._contract(x, ask.now) for x in found[offset : offset + limit]])

    def _contract(self, listing: Listing, now: int) -> object:
        coin, held = listing.listed, self.market.open_interest(listing.listed)
        size, rate = latest(held, "size", now), self.market.running_rate(coin, now)
        last = self.market.price(coin, "trade", now)
        return {
            "name": coin + "_USDT",
            "type": "direct",
            "quanto_multiplier": COINS_A_CONTRACT.get(listing.base, "1"),
            "mark_type": "index",
            "mark_price": plain(self.market.price(coin, "mark", now)),
            "index_price": plain(self.market.price(coin, "index", now)),
            "last_price": plain(last),
            "funding_rate": "" if rate is None else plain(rate),
            "funding_rate_indicative": "" if rate is None else plain(rate),
            "funding_interval": interval_hours(listing, now) * 3600,
            "funding_next_apply": next_settlement(listing, now) // 1000,
            "order_price_deviate": "0.5",
            "order_price_round": plain(tick(last)),
            "mark_price_round": plain(tick(last)),
            "order_size_min": 1,
            "order_size_max": 1_000_000,
            "leverage_min": "1",
            "leverage_max": "100",
            "position_size": contracts(np.array([size]), listing.base)[0],
            "in_delisting": False,
            "status": "trading",
            "contract_type": "",
            "create_time": listing.listed_at // 1000,
            "launch_time": listing.listed_at // 1000,
            "delisting_time": 0,
            "delisted_time": 0,
        }

    def _funding_rate(self, ask: Ask, settle: str) -> bytes:
        limit, (start, end) = self._limit(ask, 100, 1000), self._ends(ask)
        listed = self._listing(ask.query.get("contract", ""), settle, ask.now).listed

        def render(f: Funding) -> Rows:
            columns = zip((f.settled_at // 1000).tolist(), text(f.rate), strict=True)
            return Rows(f.settled_at, [b'{"t":%d,"r":"%s"}' % (at, rate.encode()) for at, rate in columns])

        rows = self.market.rows("funding", listed, self.market.funding(listed), render)
        return rows.array(rows.span(ask, start, end, limit, newest=True), descending=True)

    def _contract_stats(self, ask: Ask, settle: str) -> bytes:
        if ask.query.get("interval") != "1h":
            raise ValueError("interval (the emulator keeps 1h)")
        limit, (start, _) = self._limit(ask, 100, 100), self._ends(ask)
        listing = self._listing(ask.query.get("contract", ""), settle, ask.now)

        def render(oi: OpenInterest) -> Rows:
            times, sizes = (oi.observed_at // 1000).tolist(), contracts(oi.size, listing.base)
            columns = zip(times, sizes, (oi.size * oi.mark).tolist(), oi.mark.tolist(), strict=True)
            names = ("time", "open_interest", "open_interest_usd", "mark_price")
            return Rows(oi.observed_at, [encode(dict(zip(names, row, strict=True))) for row in columns])

        rows = self.market.rows("open_interest", listing.listed, self.market.open_interest(listing.listed), render)
        return rows.array(rows.span(ask, start, ask.now, limit, newest=start is None))

    def _liq_orders(self, ask: Ask, settle: str) -> bytes:
        """Newest first; the size is the position's, the order's is its opposite."""
        limit, (start, end) = self._limit(ask, 100, 1000), self._ends(ask)
        if start is None or end - start > MS_HOUR:
            raise ValueError("from: at most an hour before to")
        listing = self._listing(ask.query.get("contract", ""), settle, ask.now)

        def render(forced: Liquidations) -> Rows:
            columns = zip(
                (forced.time // 1000).tolist(), forced.size.tolist(), forced.long.tolist(), forced.price.tolist(), strict=True
            )
            coins, cells = float(COINS_A_CONTRACT.get(listing.base, "1")), []
            for at, size, long, price in columns:
                held = size / coins * (1 if long else -1)
                said = {"time": at, "contract": listing.listed + "_USDT", "size": plain(held), "order_size": plain(-held)}
                cells.append(encode(said | {"order_price": plain(price), "fill_price": plain(price), "left": 0}))
            return Rows(forced.time // 1000 * 1000, cells)

        rows = self.market.rows("liquidations", listing.listed, self.market.liquidations(listing.listed), render)
        return rows.array(rows.span(ask, start, end, limit, newest=True), descending=True)

    def _candlesticks(self, ask: Ask, settle: str) -> bytes:
        if ask.query.get("interval") != "1h":
            raise ValueError("interval (the emulator keeps 1h)")
        limit, (start, end) = self._limit(ask, 100, POINTS), self._ends(ask)
        if "limit" in ask.query and ("from" in ask.query or "to" in ask.query):
            raise ValueError("limit: conflicts with from and to")
        if start is not None and (end - start) // MS_HOUR >= POINTS:
            raise ValueError("from: too many points, at most 2000")
        contract = ask.query.get("contract", "")
        kind: PriceKind = next((kind for kind in KINDS if contract.startswith(kind + "_")), "trade")
        listing = self._listing(contract.removeprefix(kind + "_"), settle, ask.now)

        def render(bars: Candles) -> Rows:
            times = (bars.opened_at // 1000).tolist()
            columns = [times, *(text(x) for x in (bars.open, bars.high, bars.low, bars.close))]
            names = ["t", "o", "h", "l", "c"]
            if kind == "trade":
                columns += [contracts(bars.volume, listing.base), text(bars.quote_volume)]
                names += ["v", "sum"]
            return Rows(bars.opened_at, [encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)])

        rows = self.market.rows(("candles", kind), listing.listed, self.market.candles(listing.listed, kind), render)
        most = limit if start is None else POINTS
        return rows.array(rows.span(ask, start, min(end, ask.now - MS_HOUR), most, newest=True))


VENUE = Gate
