"""Deribit: JSON-RPC over GET, JSON numbers, bars in columns, 744 hours of funding in a page.

BTC and ETH are inverse perpetuals, whose open interest is US dollars in whole contracts; the others are linear ones in USDC,
whose open interest is coins. The present rate is the rate of eight hours. The unfinished bar is left out; a value that the
store lacks is null. Alone: `python -m infra.emulator` and
`curl "$URL/deribit/api/v2/public/get_instruments?currency=any&kind=future"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Snapshot, latest
from infra.emulator.messages import Ask, InvalidParameter
from infra.emulator.rendering import Rows, number, tick
from infra.emulator.store import MS_HOUR, Funding, Listing, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, json, trade_id
from infra.emulator.venue import Venue, route

INVERSE = {"BTC": 10.0, "ETH": 1.0}  # US dollars in a contract
CURRENCIES = ("any", "BTC", "ETH", "USDC", "USDT", "EURR")
FUNDING_ROWS = 744
BARS = 5000
#: The levels of a side of an order book that may be asked for.
DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)
COLUMNS = {name: name for name in ("open", "high", "low", "close", "volume")} | {"cost": "quote_volume"}


class Trades(Channel):
    """`trades.{instrument}.100ms`: beside each liquidation an ordinary trade. Of unknown channels the answer says nothing."""

    path = "/ws/api/v2"
    every = 0.1
    patience = 60
    pings = True

    def opened(self) -> list[Frame]:
        self.subscribed: set[str] = set()
        self.numbers: dict[str, int] = {}
        return []

    def receive(self, text: str) -> list[Frame]:
        asked = as_json(text)
        head = {"jsonrpc": "2.0", "id": asked.get("id"), "usIn": self.now * 1000, "usOut": self.now * 1000, "testnet": False}
        match asked.get("method"):
            case "public/test":
                return [json(head | {"result": {"version": "1.2.26"}})]
            case "public/subscribe":
                known = {
                    f"trades.{self.venue.symbol(x)}.{each}" for x in self.venue.trading(self.now) for each in ("100ms", "agg2")
                }
                channels = [name for name in asked.get("params", {}).get("channels", []) if name in known]
                self.subscribed.update(channels)
                return [json(head | {"result": channels})]
        return [json(head | {"error": {"code": -32601, "message": "Method not found"}})]

    def idle(self, seconds: float) -> Iterable[Frame]:
        """An ordinary trade of each subscribed instrument, each second."""
        for listing in self.venue.trading(self.now):
            price = self.venue.market.price(listing.listed, "trade", self.now)
            yield from self._frames([Forced(self.venue.name, listing, self.now, True, price, 1.0)], kinds=(False,))

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        return self._frames(events, kinds=(False, True))

    def _frames(self, events: Sequence[Forced], kinds: tuple[bool, ...]) -> Iterable[Frame]:
        """A trade for each kind of an event, with the flag or without."""
        rows: dict[str, list[dict[str, object]]] = {}
        for event in events:
            symbol = self.venue.symbol(event.listing)
            maker = event.time % 5 == 0
            direction = "sell" if event.long != maker else "buy"
            amount = float(max(1, round(event.size * event.price))) if event.listing.listed in INVERSE else event.size
            for forced in kinds:
                self.numbers[symbol] = self.numbers.get(symbol, 1000) + 1
                row: dict[str, object] = {"trade_seq": self.numbers[symbol], "trade_id": trade_id(symbol, event, forced)}
                row |= {"timestamp": event.time, "tick_direction": 0, "price": event.price, "mark_price": event.price}
                row |= {"instrument_name": symbol, "index_price": event.price, "direction": direction, "amount": amount}
                rows.setdefault(symbol, []).append(row | ({"liquidation": "M" if maker else "T"} if forced else {}))
        for symbol, trades in rows.items():
            for channel in sorted(self.subscribed & {f"trades.{symbol}.100ms", f"trades.{symbol}.agg2"}):
                params = {"channel": channel, "data": trades}
                yield json({"jsonrpc": "2.0", "method": "subscription", "params": params})


class Deribit(Venue):
    name = "deribit"
    channels = (Trades,)
    root = "/api/v2/public"
    profile = Profile(0.04, tilt=0.00001, decimals=12, hours=1, interest=False)

    def symbol(self, listing: Listing) -> str:
        return listing.listed + ("-PERPETUAL" if listing.listed in INVERSE else "_USDC-PERPETUAL")

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        head = b'{"jsonrpc":"2.0","result":%s,"usIn":%d,"usOut":%d,"usDiff":0,"testnet":false}'
        return head % (data, ask.now * 1000, ask.now * 1000)

    def _in_currency(self, ask: Ask, default: str) -> list[Snapshot]:
        """The perpetuals that settle in the currency of the request."""
        currency = ask.query.get("currency", default)
        if currency not in CURRENCIES:
            raise InvalidParameter("currency")
        listings = self.trading(ask.now) if ask.query.get("kind", "future") == "future" else []
        return [
            self.market.snapshot(x, ask.now) for x in listings if currency in ("any", x.listed if x.listed in INVERSE else "USDC")
        ]

    def _listing(self, ask: Ask) -> Listing:
        return self.listing(ask.required("instrument_name"), ask.now)

    @staticmethod
    def _window(ask: Ask) -> tuple[int, int]:
        ask.required("start_timestamp"), ask.required("end_timestamp")
        start, end = ask.window("start_timestamp", "end_timestamp")
        return start or 0, end

    @route("get_currencies", requests=1)
    def currencies(self, ask: Ask) -> object:
        return []

    @route("get_instruments", instruments=1)
    def instruments(self, ask: Ask) -> object:
        return [self._contract(at) for at in self._in_currency(ask, "any")]

    def _contract(self, at: Snapshot) -> object:
        coin = at.listing.listed
        quote, size = ("USD", INVERSE[coin]) if coin in INVERSE else ("USDC", 0.01)
        return {
            "instrument_name": self.symbol(at.listing),
            "kind": "future",
            "settlement_period": "perpetual",
            "instrument_type": "reversed" if coin in INVERSE else "linear",
            "base_currency": coin,
            "quote_currency": quote,
            "counter_currency": quote,
            "settlement_currency": coin if coin in INVERSE else "USDC",
            "contract_size": size,
            "min_trade_amount": size,
            "tick_size": tick(at.last),
            "price_index": f"{coin}_{quote}".lower(),
            "expiration_timestamp": 32503708800000,
            "creation_timestamp": at.listing.listed_at,
            "is_active": True,
            "state": "open",
            "max_leverage": 50,
            "underlying_type": "crypto",
        }

    @route("get_book_summary_by_currency", requests=1)
    def summaries(self, ask: Ask) -> object:
        return [self._summary(at) for at in self._in_currency(ask, "")]

    @route("get_book_summary_by_instrument", requests=1)
    def summary(self, ask: Ask) -> object:
        return [self._summary(self.market.snapshot(self._listing(ask), ask.now))]

    def _summary(self, at: Snapshot) -> object:
        coin, size = at.listing.listed, number(at.size)
        if coin in INVERSE and size is not None and number(at.mark) is not None:
            size = round(size * at.mark / INVERSE[coin]) * INVERSE[coin]
        return {
            "instrument_name": self.symbol(at.listing),
            "base_currency": coin,
            "quote_currency": "USD" if coin in INVERSE else "USDC",
            "open_interest": size,
            "mark_price": number(at.mark),
            "current_funding": None if at.rate is None else 8 * at.rate,
            "funding_8h": None,
            "volume": 0.0 if at.day is None else number(float(at.day.volume.sum())),
            "volume_usd": 0.0 if at.day is None else number(float(at.day.quote_volume.sum())),
            "creation_timestamp": at.now,
        }

    @route("get_order_book", requests=1)
    def order_book(self, ask: Ask) -> object:
        """Sizes in coins, of an inverse contract in US dollars."""
        listing = self._listing(ask)
        depth = int(ask.choice("depth", *map(str, DEPTHS))) if "depth" in ask.query else 5
        at, linear = self.market.snapshot(listing, ask.now), "_" in self.symbol(listing)
        sides = books(at).sides(lambda price, size: [price, size if linear else max(10, round(size * price, -1))], depth)
        about = {"timestamp": ask.now, "state": "open", "instrument_name": self.symbol(listing), "change_id": ask.now}
        return {**about, "mark_price": number(at.mark), "index_price": number(at.index), **sides}

    @route("get_funding_rate_history", requests=1)
    def funding(self, ask: Ask) -> bytes:
        listing, (start, end) = self._listing(ask), self._window(ask)
        index = self.market.candles(listing.listed, "index")

        def render(f: Funding) -> Rows:
            def prices(hours_before: int) -> list[float | None]:
                return [number(latest(index, "close", at - hours_before * MS_HOUR)) for at in f.settled_at.tolist()]

            columns = {"timestamp": f.settled_at, "index_price": prices(1), "prev_index_price": prices(2)}
            eight_hours = np.convolve(f.rate, np.ones(8))[: len(f.rate)]
            return Rows.objects(f.settled_at, {**columns, "interest_8h": eight_hours, "interest_1h": f.rate})

        return self.market.funding_rows(listing.listed, render).page(ask, start, end, FUNDING_ROWS)

    @route("get_tradingview_chart_data", requests=1)
    def chart(self, ask: Ask) -> object:
        """The bar that contains the start is included."""
        listing, (start, end) = self._listing(ask), self._window(ask)
        ask.choice("resolution", "60")
        bars = self.market.candles(listing.listed, "trade")
        if bars is None:
            return {"status": "no_data", **{name: [] for name in ("ticks", *COLUMNS)}}
        span = Rows(bars.opened_at, []).span(ask, start // MS_HOUR * MS_HOUR, min(end, ask.now - MS_HOUR), BARS)
        columns = {name: [number(x) for x in getattr(bars, field)[span].tolist()] for name, field in COLUMNS.items()}
        return {"status": "ok" if columns["open"] else "no_data", "ticks": bars.opened_at[span].tolist(), **columns}


VENUE = Deribit
