"""Aevo: hourly funding in arrays of fifty, newest first; nanoseconds as text, decimals as text, sizes in coins.

Options share the interface; there are none here. PEPE is listed by the thousand. There are no bars.
Alone: `python -m infra.emulator` and `curl "$URL/aevo/markets?instrument_type=PERPETUAL"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.store import Funding, Listing, Profile
from infra.emulator.wire import Answer, Ask, Refusal, Rows, Usage, Venue, encode, latest, next_settlement, plain, text

NANO = 1_000_000
RATES = 50


def refusal(message: str, status: int = 400) -> Refusal:
    return Refusal(Answer(encode({"error": message}), status, charges={"requests": 1}))


class Aevo(Venue):
    name = "aevo"
    profile = Profile(0.01, tilt=0.00003, decimals=8, hours=1, thousand="1000")
    limits: Mapping[str, tuple[int, int]] = {"requests": (20, 1)}

    def answer(self, ask: Ask) -> Answer:
        kind = ask.query.get("instrument_type", "PERPETUAL")
        try:
            match ask.path:
                case "/markets":
                    body = encode([self._market(x, ask.now) for x in self.trading(ask.now) if kind == "PERPETUAL"])
                case "/funding":
                    body = encode(self._running(self._listing(ask, "instrument_name"), ask.now))
                case "/funding-history":
                    body = self._funding(ask, self._listing(ask, "instrument_name"))
                case "/statistics":
                    body = encode(self._statistics(self._listing(ask, "asset"), ask.now))
                case _:
                    raise refusal("NOT_FOUND", 404)
        except ValueError as problem:
            raise refusal(f"INVALID_{problem}") from None
        return Answer(body, charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("RATE_LIMIT_EXCEEDED", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("INTERNAL_SERVER_ERROR", 500).answer

    def _listing(self, ask: Ask, name: str) -> Listing:
        for listing in self.market.listings(ask.now):
            if listing.listed == ask.query.get(name, "").removesuffix("-PERP"):
                return listing
        raise refusal("INSTRUMENT_NOT_FOUND", 404)

    def _market(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        return {
            "instrument_id": str(1 + len(coin)),
            "instrument_name": coin + "-PERP",
            "instrument_type": "PERPETUAL",
            "underlying_asset": coin,
            "quote_asset": "USDC",
            "price_step": "0.01",
            "amount_step": "0.001",
            "mark_price": plain(self.market.price(coin, "mark", now)),
            "index_price": plain(self.market.price(coin, "index", now)),
            "is_active": True,
            "max_leverage": "20",
        }

    def _running(self, listing: Listing, now: int) -> object:
        rate = self.market.running_rate(listing.listed, now)
        return {"funding_rate": "0" if rate is None else plain(rate), "next_epoch": str(next_settlement(listing, now) * NANO)}

    def _funding(self, ask: Ask, listing: Listing) -> bytes:
        start, end, limit = ask.integer("start_time"), ask.integer("end_time"), ask.integer("limit") or RATES
        if not 1 <= limit <= RATES:
            raise ValueError("LIMIT")

        def render(f: Funding) -> Rows:
            columns = zip(f.settled_at.tolist(), text(f.rate), text(f.mark), strict=True)
            name = listing.listed + "-PERP"
            return Rows(f.settled_at, [encode((name, str(at * NANO), rate, mark)) for at, rate, mark in columns])

        rows = self.market.rows("funding", listing.listed, self.market.funding(listing.listed), render)
        until = ask.now if end is None else min(end // NANO, ask.now)
        span = rows.span(ask, None if start is None else -(-start // NANO), until, limit, newest=True)
        return b'{"funding_history":%s}' % rows.array(span, descending=True)

    def _statistics(self, listing: Listing, now: int) -> object:
        coin, day = listing.listed, self.market.day(listing.listed, now)
        return {
            "asset": coin,
            "open_interest": {"total": plain(latest(self.market.open_interest(coin), "size", now)) or "0"},
            "daily_volume": "0" if day is None else plain(float(day.quote_volume.sum())),
            "mark_price": plain(self.market.price(coin, "mark", now)),
            "index_price": plain(self.market.price(coin, "index", now)),
        }


VENUE = Aevo
