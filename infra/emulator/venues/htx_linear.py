"""HTX: linear and coin-margined swaps on one host, three envelopes, whole contracts, errors in HTTP 200.

Klines and open interest count both sides, except the present open interest of coin-margined swaps, which counts one. Bars are
stamped in seconds. Rates, the present open interest and liquidations of linear swaps are those of version 5 alone, of
coin-margined swaps those of versions 1 and 3, their funding in numbered pages from the newest row. The history of open interest
is its latest 200 rows, the bars of the mark price the latest 2000. PEPE is listed in units, a million to a contract.
The streams of liquidations send frames of gzip, and end a connection after five pings without an answer.
Alone: `python -m infra.emulator` and `curl "$URL/htx/linear-swap-api/v1/swap_contract_info"`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from infra.emulator.books import books
from infra.emulator.market import Market, Snapshot, World, interval_hours
from infra.emulator.messages import Answer, Ask, InvalidParameter
from infra.emulator.rendering import Rows, encode, number, plain, text
from infra.emulator.store import MS_HOUR, Candles, Floats, Funding, Liquidations, Listing, OpenInterest, Profile
from infra.emulator.streams import Channel, Close, Forced, Frame, as_json, json
from infra.emulator.venue import Refused, Venue, route

INVERSE = Profile(0.02, tilt=0.00001, lists=("BTC", "ETH", "XRP", "DOGE", "LINK"))
#: Coins in a linear contract, one of every other coin; US dollars in an inverse one, ten of every other coin.
COINS = {"BTC": 0.001, "ETH": 0.01, "XRP": 10.0, "DOGE": 100.0, "PEPE": 1_000_000.0}
DOLLARS = {"BTC": 100.0}
#: A dated future: it is only listed, no other endpoint has it.
DATED = {
    "symbol": "BTC",
    "contract_code": "BTC270326",
    "contract_type": "next_quarter",
    "contract_size": 100.0,
    "price_tick": 0.01,
    "delivery_date": "20270326",
    "delivery_time": "1806048000000",
    "create_date": "20260925",
    "contract_status": 1,
}
SIDES = 2
#: Levels of a side of an order book that is not merged.
DEPTH = 150
#: The contracts that one request for running rates may name.
MOST_CODES = 10
SWAP = "{prefix:linear-swap|swap}"


@dataclass(frozen=True)
class Product:
    """One kind of swap: its market, its quote, its units."""

    market: Market
    quote: str

    @property
    def linear(self) -> bool:
        return self.quote == "USDT"

    def symbol(self, listing: Listing) -> str:
        return f"{listing.listed}-{self.quote}"

    def names(self, listing: Listing) -> dict[str, object]:
        return {"symbol": listing.listed, "contract_code": self.symbol(listing)}

    def types(self) -> dict[str, object]:
        """The fields that tell a linear swap from a dated future in the same list."""
        return {"business_type": "swap", "contract_type": "swap"} if self.linear else {}

    def face(self, listing: Listing) -> float:
        """What one contract is: coins, or US dollars."""
        return COINS.get(listing.base, 1.0) if self.linear else DOLLARS.get(listing.base, 10.0)

    def contracts(self, coins: Floats, quote: Floats, listing: Listing, sides: int = SIDES) -> Floats:
        """Amounts as whole contracts."""
        rounded: Floats = np.round((coins if self.linear else quote) / self.face(listing) * sides)
        return rounded


class LiquidationOrders(Channel):
    """`public.{contract}.liquidation_orders` of contracts or of `*`, without a login; in frames of gzip, as a ping is too.

    A ping each five seconds has its time as text, which an answer repeats; a close frame says `Bye` (recorded on 2026-09-18).
    """

    path = f"/{SWAP}-notification"
    pinged = 5

    def opened(self) -> Iterable[Frame]:
        self.product: Product = self.venue.products[self.parts["prefix"]]
        self.wanted: set[str] = set()
        self.unanswered: list[str] = []
        return ()

    @property
    def markets(self) -> Mapping[str, Market]:
        return {"htx" if self.product.linear else "htx_coinm": self.product.market}

    @staticmethod
    def _packed(**content: object) -> bytes:
        return gzip.compress(
            json({name.replace("_", "-") if name.startswith("err") else name: x for name, x in content.items()}).encode()
        )

    def receive(self, text: str) -> Iterable[Frame]:
        asked = as_json(text)
        topic = str(asked.get("topic"))
        same = {"op": "sub", "cid": asked.get("cid", ""), "topic": topic, "ts": self.now}
        known = {"*", *map(self.product.symbol, self.product.market.listings(self.now))}
        public, _, rest = topic.partition(".")
        code, _, name = rest.rpartition(".")
        if asked.get("op") == "pong":
            if asked.get("ts") in self.unanswered:
                self.unanswered.clear()
        elif asked.get("op") != "sub":
            yield self._packed(op="error", err_code=2001, err_msg="Invalid authentication or command", ts=self.now)
        elif public != "public" or name != "liquidation_orders" or code not in known:
            yield self._packed(**same, err_code=2011, err_msg="invalid topic")
        elif {"*", code} & self.wanted:
            yield self._packed(**same, err_code=2014, err_msg="Repeated subscription")
        else:
            self.wanted.add(code)
            yield self._packed(**same, err_code=0)

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        for e in events:
            code, listing = self.product.symbol(e.listing), e.listing
            if self.wanted & {"*", code}:
                value = e.size * e.price
                volume = e.size if self.product.linear else value
                sizes = {"volume": volume / self.product.face(listing), "price": e.price, "created_at": e.time, "amount": e.size}
                turnover = {"trade_turnover": value, "pair": code} if self.product.linear else {}
                side = {"direction": "sell" if e.long else "buy", "offset": "close"}
                row = {**self.product.names(listing), **side, **sizes, **turnover, **self.product.types()}
                yield self._packed(op="notify", topic=f"public.{code}.liquidation_orders", ts=self.now, data=[row])

    def idle(self, seconds: float) -> Iterable[Frame]:
        if seconds % self.pinged == 0:
            if len(self.unanswered) == 5:
                yield self._packed(op="close", ts=self.now)
                yield Close(1000, "Bye")
                return
            self.unanswered.append(str(self.now))
            yield self._packed(op="ping", ts=self.unanswered[-1])


class Htx(Venue):
    name = "htx"
    channels = (LiquidationOrders,)
    profile = Profile(0.06, tilt=0.00001, decimals=6, four_hourly=("PEPE",))
    beside: Mapping[str, Profile] = {"htx_coinm": INVERSE}

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.products = {"linear-swap": Product(self.market, "USDT"), "swap": Product(world.market("htx_coinm"), "USD")}

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        if "/v5/" in ask.path:
            return b'{"code":200,"message":"Success","data":%s,"ts":%d}' % (data, ask.now)
        if "/v3/" in ask.path:
            return b'{"code":200,"msg":"","data":%s,"ts":%d}' % (data, ask.now)
        return b'{"status":"ok","data":%s,"ts":%d}' % (data, ask.now)

    def _listing(self, ask: Ask, product: Product, parameter: str = "contract_code") -> Listing:
        ask.unused("contract_type", "pair")
        code = ask.required(parameter)
        for listing in product.market.listings(ask.now):
            if product.symbol(listing) == code:
                return listing
        raise Refused("unknown_in_market_data" if "/market/" in ask.path and "/v5/" not in ask.path else "unknown_instrument")

    def _snapshots(self, ask: Ask, product: Product) -> list[Snapshot]:
        """Of the contract in the request, or of all that are trading."""
        ask.unused("business_type")
        if "contract_code" in ask.query:
            listings = [self._listing(ask, product)]
        else:
            listings = [x for x in product.market.listings(ask.now) if x.delisted_at is None or x.delisted_at > ask.now]
        return [product.market.snapshot(x, ask.now) for x in listings]

    @route("/api/v1/contract_contract_info", market=1)
    def dated_contracts(self, ask: Ask) -> object:
        return [DATED]

    @route(f"/{SWAP}-api/v1/swap_contract_info", reference=1)
    def contracts(self, ask: Ask, prefix: str) -> object:
        product = self.products[prefix]
        return [self._contract(at.listing, product, ask.now) for at in self._snapshots(ask, product)]

    @staticmethod
    def _contract(listing: Listing, product: Product, now: int) -> object:
        return {
            **product.names(listing),
            "contract_size": product.face(listing),
            "price_tick": 0.1,
            "delivery_time": "",
            "create_date": str(np.datetime64(listing.listed_at + 8 * MS_HOUR, "ms"))[:10].replace("-", ""),
            "contract_status": 1,
            "settlement_date": "0",
            **product.types(),
            **({"settlement_period": str(interval_hours(listing, now)), "tradfi_labels": []} if product.linear else {}),
        }

    @route(f"/{SWAP}-ex/market/depth", market=1)
    def order_book(self, ask: Ask, prefix: str) -> Answer:
        """150 levels that are not merged; merged ones aren't shown."""
        product = self.products[prefix]
        listing = self._listing(ask, product)
        ask.choice("type", "step0")
        face = product.face(listing)

        def level(price: float, size: float) -> object:
            return [price, max(1, round((size if product.linear else size * price) / face))]

        sides = books(product.market.snapshot(listing, ask.now)).sides(level, DEPTH)
        channel = f"market.{product.symbol(listing)}.depth.step0"
        tick = {"ch": channel, "id": ask.now // 1000, "mrid": ask.now, "ts": ask.now, "version": ask.now, **sides}
        return Answer(encode({"ch": channel, "status": "ok", "tick": tick, "ts": ask.now}))

    @route("/swap-api/v1/swap_open_interest", reference=1)
    def open_interest(self, ask: Ask) -> object:
        product = self.products["swap"]
        return [self._open_interest(at, product) for at in self._snapshots(ask, product)]

    @route("/v5/market/open_interest", reference=1)
    def open_interest_v5(self, ask: Ask) -> object:
        """One contract, an object; numbers are text. The page names neither the coin nor the kind of contract."""
        product = self.products["linear-swap"]
        at = product.market.snapshot(self._listing(ask, product), ask.now)
        row = self._open_interest(at, product)
        del row["symbol"], row["business_type"], row["contract_type"]
        return {name: plain(value) if isinstance(value, float) else value for name, value in row.items()}

    @staticmethod
    def _open_interest(at: Snapshot, product: Product) -> dict[str, object]:
        sides = SIDES if product.linear else 1
        [volume] = product.contracts(np.array([at.size]), np.array([at.size * at.mark]), at.listing, sides).tolist()
        sizes = {"volume": number(volume), "amount": number(at.size * sides)}
        value = {"value": number(at.size * at.mark * sides)} if product.linear else {}
        return {**product.names(at.listing), **sizes, **value, **product.types()}

    @route("/v5/market/funding_rate", reference=1)
    def running_rates_v5(self, ask: Ask) -> object:
        """Up to ten contracts, by commas."""
        product, codes = self.products["linear-swap"], ask.required("contract_code").split(",")
        if len(codes) > MOST_CODES:
            raise InvalidParameter("contract_code")
        listings = {product.symbol(x): x for x in product.market.listings(ask.now)}
        if unknown := set(codes) - set(listings):
            raise Refused("unknown_instrument", symbol=min(unknown))
        snapshots = [product.market.snapshot(listings[code], ask.now) for code in codes]
        return [
            {
                "contract_code": product.symbol(at.listing),
                "funding_rate": None if at.rate is None else plain(at.rate),
                "funding_time": str(at.next_settlement),
                "next_funding_time": str(at.next_settlement + at.interval_hours * MS_HOUR),
                "min_funding_rate": "-0.003750000000000000",
                "max_funding_rate": "0.003750000000000000",
            }
            for at in snapshots
        ]

    @route("/swap-api/v1/swap_batch_funding_rate", reference=1)
    def running_rates(self, ask: Ask) -> object:
        product = self.products["swap"]
        return [
            {
                **product.names(at.listing),
                "funding_rate": None if at.rate is None else plain(at.rate),
                "estimated_rate": None,
                "next_funding_time": None,
                "fee_asset": at.listing.listed,
                "funding_time": str(at.next_settlement),
            }
            for at in self._snapshots(ask, product)
        ]

    @route("/v5/market/funding_rate_history", reference=1)
    def funding_v5(self, ask: Ask) -> bytes:
        """Newest first, without a limit twenty."""
        product, (start, end) = self.products["linear-swap"], ask.window("start_time", "end_time")
        listing, limit = self._listing(ask, product), ask.limit(20, 100)

        def render(f: Funding) -> Rows:
            times = list(map(str, f.settled_at.tolist()))
            columns = {"id": list(map(str, range(len(times)))), "contract_code": product.symbol(listing)}
            return Rows.objects(f.settled_at, {**columns, "funding_rate": text(f.rate), "funding_time": times})

        return product.market.funding_rows(listing.listed, render).page(ask, start, end, limit, newest=True, descending=True)

    @route("/swap-api/v1/swap_historical_funding_rate", reference=1)
    def funding(self, ask: Ask) -> object:
        product = self.products["swap"]
        listing, size, page = self._listing(ask, product), ask.limit(20, 50, "page_size"), ask.integer("page_index") or 1

        def render(f: Funding) -> Rows:
            columns = {**product.names(listing), "realized_rate": "null", "funding_rate": text(f.rate)}
            return Rows.objects(f.settled_at, {**columns, "funding_time": list(map(str, f.settled_at.tolist()))})

        array, count = product.market.funding_rows(listing.listed, render).newest(ask, size, page)
        return {"total_page": -(-count // size), "current_page": page, "total_size": count, "data": msgspec.Raw(array)}

    @route(f"/{SWAP}-api/v1/swap_his_open_interest", market=1)
    def open_interest_history(self, ask: Ask, prefix: str) -> object:
        """`amount_type` 1 counts contracts, 2 coins."""
        product = self.products[prefix]
        ask.choice("period", "60min")
        amount, size, listing = int(ask.choice("amount_type", "1", "2")), ask.limit(48, 200, "size"), self._listing(ask, product)

        def render(oi: OpenInterest) -> Rows:
            quote = oi.size * oi.mark
            volume = product.contracts(oi.size, quote, listing) if amount == 1 else oi.size * SIDES
            value = {"value": quote * SIDES} if product.linear else {}
            return Rows.objects(oi.observed_at, {"volume": volume, "amount_type": amount, "ts": oi.observed_at, **value})

        key = ("open_interest", amount)
        rows = product.market.rows(key, listing.listed, product.market.open_interest(listing.listed), render)
        tick = rows.page(ask, None, ask.now, size, newest=True, descending=True)
        return {**product.names(listing), "tick": msgspec.Raw(tick)}

    @staticmethod
    def _two_hours(ask: Ask) -> tuple[int, int]:
        """The window of a request for liquidations: two hours at most."""
        start, end = ask.window("start_time", "end_time")
        if start is None or not 0 <= end - start <= 2 * MS_HOUR:
            raise InvalidParameter("start_time")
        return start, end

    @route("/v5/market/liquidation_orders", reference=1)
    def liquidations_v5(self, ask: Ask) -> bytes:
        """Newest first, without a limit twenty; `side` is the order's, `amount` contracts, as in the recorded row."""
        product, (start, end) = self.products["linear-swap"], self._two_hours(ask)
        listing, limit = self._listing(ask, product), ask.limit(20, 100)

        def render(forced: Liquidations) -> Rows:
            volume = text(forced.size / product.face(listing))
            columns = {
                "id": list(map(str, range(1, len(forced.time) + 1))),
                "contract_code": product.symbol(listing),
                "liquidation_time": list(map(str, forced.time.tolist())),
                "side": np.where(forced.long, "sell", "buy"),
                "position_side": np.where(forced.long, "long", "short"),
                "volume": volume,
                "amount": volume,
                "bankrupt_price": text(forced.price),
                "trade_turnover": text(forced.price * forced.size),
            }
            return Rows.objects(forced.time, columns)

        rows = product.market.liquidation_rows(listing.listed, render)
        return rows.page(ask, start, end, limit, newest=True, descending=True)

    @route("/swap-api/v3/swap_liquidation_orders", reference=1)
    def liquidations(self, ask: Ask) -> bytes:
        """Fifty after an id; `amount` is coins, `direction` the order's."""
        ask.unused("direct", "trade_type")
        product, (start, end), after = self.products["swap"], self._two_hours(ask), ask.integer("from_id") or 0
        listing = self._listing(ask, product, "contract")

        def render(forced: Liquidations) -> Rows:
            columns = {
                **product.names(listing),
                "query_id": np.arange(len(forced.time)) + 1,
                "direction": np.where(forced.long, "sell", "buy"),
                "offset": "close",
                "volume": product.contracts(forced.size, forced.size * forced.price, listing, sides=1),
                "price": forced.price,
                "created_at": forced.time,
                "amount": forced.size,
            }
            return Rows.objects(forced.time, columns)

        rows = product.market.liquidation_rows(listing.listed, render)
        span = rows.span(ask, start, end, len(rows.cells))
        first = max(span.start, after)
        return rows.array(slice(first, min(span.stop, first + 50)))

    @route(f"/{SWAP}-ex/market/history/kline", market=1)
    def candles(self, ask: Ask, prefix: str) -> bytes:
        """A size goes before the ends of a window, which are seconds."""
        product = self.products[prefix]
        ask.choice("period", "60min")
        listing, (start, end) = self._listing(ask, product), ask.window("from", "to", unit=1000)
        size = ask.limit(150, 2000, "size") if start is None or "size" in ask.query else 0

        def render(bars: Candles) -> Rows:
            prices = {"id": bars.opened_at // 1000, "open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
            sizes = {"vol": product.contracts(bars.volume, bars.quote_volume, listing), "amount": bars.volume * SIDES}
            turnover = {"trade_turnover": bars.quote_volume * SIDES} if product.linear else {}
            return Rows.objects(bars.opened_at, {**prices, **sizes, **turnover})

        rows, over = product.market.candle_rows("trade", listing.listed, render), ask.now - MS_HOUR
        if size:
            return rows.page(ask, None, over, size, newest=True)
        return rows.page(ask, start, min(end, over), 2000)

    @route("/index/market/history/{prefix:linear_swap|swap}_mark_price_kline", market=1)
    def mark_candles(self, ask: Ask, prefix: str) -> bytes:
        product = self.products[prefix.replace("_", "-")]
        ask.choice("period", "60min")
        listing, size = self._listing(ask, product), ask.limit(150, 2000, "size")

        def render(bars: Candles) -> Rows:
            prices = {name: text(getattr(bars, name)) for name in ("open", "high", "low", "close")}
            zeros = dict.fromkeys(("vol", "amount", "count", "trade_turnover"), "0")
            return Rows.objects(bars.opened_at, {"id": bars.opened_at // 1000, **prices, **zeros})

        rows = product.market.candle_rows("mark", listing.listed, render)
        return rows.page(ask, None, ask.now - MS_HOUR, size, newest=True)


VENUE = Htx
