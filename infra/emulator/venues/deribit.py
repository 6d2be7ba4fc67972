"""Deribit as its page describes it: JSON-RPC over GET, JSON numbers, bars in columns, 744 hours of funding to a page.

BTC and ETH are inverse perpetuals, whose open interest is in USD by whole contracts; the others are linear ones in USDC,
counted in coins. A rate of now is told for eight hours. The bar in progress is left out; what the store doesn't hold is null.
Alone: `python -m infra.emulator` and `curl "$URL/deribit/api/v2/public/get_instruments?currency=any&kind=future"`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from infra.emulator.store import MS_HOUR, Funding, Listing, Profile
from infra.emulator.wire import Answer, Ask, Refusal, Rows, Usage, Venue, encode, latest, number, tick

INVERSE = {"BTC": 10.0, "ETH": 1.0}  # USD in a contract
FUNDING_ROWS = 744
BARS = 5000


def _failed(now: int, code: int, message: str, reason: str = "", status: int = 400) -> Answer:
    said = {"message": message, "data": {"reason": reason}, "code": code}
    times = {"testnet": False, "usIn": now * 1000, "usOut": now * 1000, "usDiff": 0}
    return Answer(encode({"jsonrpc": "2.0", "error": said, **times}), status, charges={"requests": 1})


def symbol(listing: Listing) -> str:
    return listing.listed + ("-PERPETUAL" if listing.listed in INVERSE else "_USDC-PERPETUAL")


class Deribit(Venue):
    name = "deribit"
    profile = Profile(0.04, tilt=0.00001, decimals=12, hours=1, interest=False)
    limits: Mapping[str, tuple[int, int]] = {"requests": (200, 10), "instruments": (5, 50)}

    def answer(self, ask: Ask) -> Answer:
        method = ask.path.removeprefix("/api/v2/public/")
        try:
            match method:
                case "get_instruments":
                    result = encode([self._contract(x, ask.now) for x in self._of(ask, "any")])
                case "get_book_summary_by_currency":
                    result = encode([self._summary(x, ask.now) for x in self._of(ask, "")])
                case "get_book_summary_by_instrument":
                    result = encode([self._summary(self._listing(ask), ask.now)])
                case "get_funding_rate_history":
                    result = self._funding(ask, self._listing(ask).listed)
                case "get_tradingview_chart_data":
                    result = self._chart(ask, self._listing(ask).listed)
                case "get_currencies":
                    result = b"[]"
                case _:
                    raise Refusal(_failed(ask.now, -32601, "Method not found"))
        except ValueError as problem:
            raise Refusal(_failed(ask.now, -32602, "Invalid params", str(problem))) from None
        limit = "instruments" if method == "get_instruments" else "requests"
        head = b'{"jsonrpc":"2.0","result":%s,"usIn":%d,"usOut":%d,"usDiff":0,"testnet":false}'
        return Answer(head % (result, ask.now * 1000, ask.now * 1000), charges={limit: 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return _failed(ask.now, 10028, "too_many_requests", status=429)

    def error(self, ask: Ask) -> Answer:
        return _failed(ask.now, -32603, "Internal error", status=500)

    def _of(self, ask: Ask, default: str) -> list[Listing]:
        """The listings of a currency: what a contract settles in."""
        asked, kind = ask.query.get("currency", default), ask.query.get("kind", "future")
        if asked not in ("any", "BTC", "ETH", "USDC", "USDT", "EURR"):
            raise ValueError("invalid currency")
        found = self.trading(ask.now) if kind == "future" else []
        return [x for x in found if asked in ("any", x.listed if x.listed in INVERSE else "USDC")]

    def _listing(self, ask: Ask) -> Listing:
        for listing in self.market.listings(ask.now):
            if symbol(listing) == ask.query.get("instrument_name"):
                return listing
        raise ValueError("instrument not found")

    @staticmethod
    def _span(ask: Ask) -> tuple[int, int]:
        start, end = ask.integer("start_timestamp"), ask.integer("end_timestamp")
        if start is None or end is None:
            raise ValueError("start_timestamp and end_timestamp are required")
        return start, end

    def _contract(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        quote, size = ("USD", INVERSE[coin]) if coin in INVERSE else ("USDC", 0.01)
        return {
            "instrument_name": symbol(listing),
            "kind": "future",
            "settlement_period": "perpetual",
            "instrument_type": "reversed" if coin in INVERSE else "linear",
            "base_currency": coin,
            "quote_currency": quote,
            "counter_currency": quote,
            "settlement_currency": coin if coin in INVERSE else "USDC",
            "contract_size": size,
            "min_trade_amount": size,
            "tick_size": tick(self.market.price(coin, "trade", now)),
            "price_index": f"{coin}_{quote}".lower(),
            "expiration_timestamp": 32503708800000,
            "creation_timestamp": listing.listed_at,
            "is_active": True,
            "state": "open",
            "max_leverage": 50,
            "underlying_type": "crypto",
        }

    def _summary(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        mark, rate, day = self.market.price(coin, "mark", now), self.market.running_rate(coin, now), self.market.day(coin, now)
        held = latest(self.market.open_interest(coin), "size", now)
        if coin in INVERSE and held * mark == held * mark:
            held = round(held * mark / INVERSE[coin]) * INVERSE[coin]
        return {
            "instrument_name": symbol(listing),
            "base_currency": coin,
            "quote_currency": "USD" if coin in INVERSE else "USDC",
            "open_interest": number(held),
            "mark_price": number(mark),
            "current_funding": None if rate is None else 8 * rate,
            "funding_8h": None,
            "volume": 0.0 if day is None else number(float(day.volume.sum())),
            "volume_usd": 0.0 if day is None else number(float(day.quote_volume.sum())),
            "creation_timestamp": now,
        }

    def _funding(self, ask: Ask, coin: str) -> bytes:
        start, end = self._span(ask)
        index = self.market.candles(coin, "index")

        def render(f: Funding) -> Rows:
            eight = np.convolve(f.rate, np.ones(8))[: len(f.rate)].tolist()

            def row(at: int, rate: float, sum_: float) -> bytes:
                now, before = (number(latest(index, "close", at - hours * MS_HOUR)) for hours in (1, 2))
                return encode(
                    {"timestamp": at, "index_price": now, "prev_index_price": before, "interest_8h": sum_, "interest_1h": rate}
                )

            return Rows(f.settled_at, [row(*x) for x in zip(f.settled_at.tolist(), f.rate.tolist(), eight, strict=True)])

        rows = self.market.rows("funding", coin, self.market.funding(coin), render)
        return rows.array(rows.span(ask, start, min(end, ask.now), FUNDING_ROWS))

    def _chart(self, ask: Ask, coin: str) -> bytes:
        """The bar in which the start lies comes along."""
        start, end = self._span(ask)
        if ask.query.get("resolution") != "60":
            raise ValueError("resolution (the emulator keeps 60)")
        bars = self.market.candles(coin, "trade")
        if bars is None:
            return encode({"status": "no_data", **{name: [] for name in ("ticks", *COLUMNS)}})
        span = Rows(bars.opened_at, []).span(ask, start // MS_HOUR * MS_HOUR, min(end, ask.now - MS_HOUR), BARS)
        columns = {name: [number(x) for x in getattr(bars, of)[span].tolist()] for name, of in COLUMNS.items()}
        return encode({"status": "ok" if columns["open"] else "no_data", "ticks": bars.opened_at[span].tolist(), **columns})


COLUMNS = {name: name for name in ("open", "high", "low", "close", "volume")} | {"cost": "quote_volume"}
VENUE = Deribit
