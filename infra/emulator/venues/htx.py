"""HTX: linear and coin-margined swaps under two prefixes of one host, two envelopes, whole contracts, errors in HTTP 200.

Klines and open interest count both sides, but for the open interest of now of coin-margined swaps, which counts one. Bars are
stamped in seconds. Funding comes in numbered pages from the newest row; of open interest's history the latest 200 rows, of the
mark's bars the latest 2000, whatever is asked for. PEPE is listed whole, a million to a contract. There are no liquidations.
Alone: `python -m infra.emulator` and `curl "$URL/htx/linear-swap-api/v1/swap_contract_info"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infra.emulator.store import MS_HOUR, Candles, Floats, Funding, Liquidations, Listing, OpenInterest, Profile
from infra.emulator.wire import (
    Answer,
    Ask,
    Market,
    Refusal,
    Rows,
    Usage,
    Venue,
    World,
    encode,
    latest,
    next_settlement,
    plain,
    text,
)

INVERSE = Profile(0.02, tilt=0.00001, lists=("BTC", "ETH", "XRP", "DOGE", "LINK"))
#: Coins in a linear contract, one of every other coin; US dollars in an inverse one, ten of every other coin.
COINS = {"BTC": 0.001, "ETH": 0.01, "XRP": 10.0, "DOGE": 100.0, "PEPE": 1_000_000.0}
DOLLARS = {"BTC": 100.0}
REFERENCE = ("swap_contract_info", "swap_open_interest", "swap_batch_funding_rate", "swap_historical_funding_rate")
#: A dated future, of which there is nothing but that it is listed.
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


def refusal(code: int, message: str, status: int = 200, charges: str = "reference") -> Refusal:
    body = {"status": "error", "err_code": code, "err_msg": message, "ts": 0}
    return Refusal(Answer(encode(body), status, charges={charges: 1}))


@dataclass(frozen=True)
class Product:
    """One kind of swap: its market, its path, its units."""

    prefix: str
    market: Market
    quote: str

    def contracts(self, coins: Floats, quote: Floats, base: str, sides: int = SIDES) -> Floats:
        """Amounts as whole contracts."""
        one = coins / COINS.get(base, 1.0) if self.quote == "USDT" else quote / DOLLARS.get(base, 10.0)
        rounded: Floats = np.round(one * sides)
        return rounded


class Htx(Venue):
    name = "htx"
    profile = Profile(0.06, tilt=0.00001, decimals=6, four_hourly=("PEPE",))
    beside: Mapping[str, Profile] = {"htx_coinm": INVERSE}
    limits: Mapping[str, tuple[int, int]] = {"reference": (240, 3), "market": (800, 1)}

    def __init__(self, world: World) -> None:
        super().__init__(world)
        linear = Product("linear-swap", self.market, "USDT")
        self.products = {p.prefix: p for p in (linear, Product("swap", world.market("htx_coinm"), "USD"))}

    def answer(self, ask: Ask) -> Answer:
        root, _, endpoint = ask.path.rpartition("/")
        kind = "reference" if endpoint in REFERENCE else "market"
        try:
            match root.strip("/").split("/"):
                case [api, "v1"] if api.removesuffix("-api") in self.products and endpoint.startswith("swap_"):
                    body = self._reference(ask, self.products[api.removesuffix("-api")], endpoint)
                case [api, "v3"] if api.removesuffix("-api") in self.products and endpoint == "swap_liquidation_orders":
                    data = self._liquidations(ask, self.products[api.removesuffix("-api")])
                    return Answer(b'{"code":200,"msg":"","data":%s,"ts":%d}' % (data, ask.now), charges={"reference": 1})
                case [ex, "market", "history"] if ex.removesuffix("-ex") in self.products and endpoint == "kline":
                    body = self._klines(ask, self.products[ex.removesuffix("-ex")])
                case ["index", "market", "history"] if endpoint.endswith("swap_mark_price_kline"):
                    linear = endpoint.startswith("linear_")
                    body = self._marks(ask, self.products["linear-swap" if linear else "swap"])
                case ["api", "v1"] if endpoint == "contract_contract_info":
                    body = encode([DATED])
                case _:
                    raise refusal(404, "Not Found", 404)
        except ValueError as problem:
            raise refusal(1067, f"The {problem} field is invalid.", charges=kind) from None
        return Answer(b'{"status":"ok","data":%s,"ts":%d}' % (body, ask.now), charges={kind: 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal(1032, "The number of access exceeded the limit", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal(1004, "System busy. Please try again later.").answer

    def _reference(self, ask: Ask, product: Product, endpoint: str) -> bytes:
        listings = [x for x in product.market.listings(ask.now) if x.delisted_at is None or x.delisted_at > ask.now]
        if code := ask.query.get("contract_code"):
            listings = [self._listing(ask, product)]
        match endpoint:
            case "swap_contract_info":
                return encode([self._contract(x, product) for x in listings])
            case "swap_open_interest":
                return encode([self._held(x, product, ask.now) for x in listings])
            case "swap_batch_funding_rate":
                return encode([self._running(x, product, ask.now) for x in listings])
            case "swap_historical_funding_rate" if code:
                return self._funding(ask, product, listings[0])
            case "swap_his_open_interest" if code:
                return self._history(ask, product, listings[0])
        raise refusal(1067, "The contract_code field is required.")

    def _liquidations(self, ask: Ask, product: Product) -> bytes:
        """Two hours at most, fifty after an id; `amount` is coins, the direction the order's."""
        start, end, after = (ask.integer(name) for name in ("start_time", "end_time", "from_id"))
        if start is None or end is None or not 0 <= end - start <= 2 * MS_HOUR:
            raise ValueError("start_time")
        listing = self._listing(ask, product, "contract")

        def render(forced: Liquidations) -> Rows:
            volumes = product.contracts(forced.size, forced.size * forced.price, listing.base, sides=1)
            columns = zip(forced.time, forced.long, forced.price, forced.size, volumes, strict=True)
            cells = [
                {**self._named(listing, product), "query_id": n + 1, "direction": "sell" if long else "buy", "offset": "close"}
                | {"volume": float(volume), "price": float(price), "created_at": int(at), "amount": float(size)}
                for n, (at, long, price, size, volume) in enumerate(columns)
            ]
            return Rows(forced.time, list(map(encode, cells)))

        rows = product.market.rows("liquidations", listing.listed, product.market.liquidations(listing.listed), render)
        found = rows.span(ask, start, min(end, ask.now), len(rows.cells))
        first = max(found.start, after or 0)
        return rows.array(slice(first, min(found.stop, first + 50)))

    def _listing(self, ask: Ask, product: Product, named: str = "contract_code") -> Listing:
        for listing in product.market.listings(ask.now):
            if f"{listing.listed}-{product.quote}" == ask.query.get(named):
                return listing
        raise refusal(1014, "Invalid contract.")

    @staticmethod
    def _named(listing: Listing, product: Product) -> dict[str, object]:
        return {"symbol": listing.listed, "contract_code": f"{listing.listed}-{product.quote}"}

    @staticmethod
    def _typed(product: Product) -> dict[str, object]:
        """What linear swaps have stated of them, since dated futures may stand beside."""
        return {"business_type": "swap", "contract_type": "swap"} if product.quote == "USDT" else {}

    def _contract(self, listing: Listing, product: Product) -> object:
        linear = product.quote == "USDT"
        return {
            **self._named(listing, product),
            "contract_size": COINS.get(listing.base, 1.0) if linear else DOLLARS.get(listing.base, 10.0),
            "price_tick": 0.1,
            "delivery_time": "",
            "create_date": str(np.datetime64(listing.listed_at + 8 * MS_HOUR, "ms"))[:10].replace("-", ""),
            "contract_status": 1,
            "settlement_date": "0",
            **self._typed(product),
        }

    def _held(self, listing: Listing, product: Product, now: int) -> object:
        held = product.market.open_interest(listing.listed)
        size, mark = np.array([latest(held, "size", now)]), np.array([latest(held, "mark", now)])
        sides = SIDES if product.quote == "USDT" else 1
        [volume] = product.contracts(size, size * mark, listing.base, sides).tolist()
        known = volume == volume
        said = {"volume": volume if known else None, "amount": float(size[0]) * sides if known else None}
        value = {"value": float((size * mark)[0]) * sides if known else None} if product.quote == "USDT" else {}
        return {**self._named(listing, product), **said, **value, **self._typed(product)}

    def _running(self, listing: Listing, product: Product, now: int) -> object:
        rate = product.market.running_rate(listing.listed, now)
        said = {"funding_rate": None if rate is None else plain(rate), "estimated_rate": None, "next_funding_time": None}
        fee = "USDT" if product.quote == "USDT" else listing.listed
        return {**self._named(listing, product), **said, "fee_asset": fee, "funding_time": str(next_settlement(listing, now))}

    def _funding(self, ask: Ask, product: Product, listing: Listing) -> bytes:
        size, page = ask.integer("page_size") or 20, ask.integer("page_index") or 1
        if not 1 <= size <= 50:
            raise ValueError("page_size")

        def render(f: Funding) -> Rows:
            columns = zip(f.settled_at.tolist(), text(f.rate), strict=True)
            named = {**self._named(listing, product), "realized_rate": "null"}
            return Rows(f.settled_at, [encode({**named, "funding_rate": rate, "funding_time": str(at)}) for at, rate in columns])

        rows = product.market.rows("funding", listing.listed, product.market.funding(listing.listed), render)
        array, known = rows.newest(ask, size, page)
        return b'{"total_page":%d,"current_page":%d,"total_size":%d,"data":%s}' % (-(-known // size), page, known, array)

    def _history(self, ask: Ask, product: Product, listing: Listing) -> bytes:
        if ask.query.get("period") != "60min" or ask.query.get("amount_type") != "1":
            raise ValueError("period (the emulator keeps 60min and amount_type 1)")
        size = self._size(ask, 48, 200)

        def render(held: OpenInterest) -> Rows:
            quote = held.size * held.mark
            volumes = product.contracts(held.size, quote, listing.base).tolist()
            columns = zip(held.observed_at.tolist(), volumes, (quote * SIDES).tolist(), strict=True)
            linear = product.quote == "USDT"
            cells = [{"volume": n, "amount_type": 1, "ts": at} | ({"value": worth} if linear else {}) for at, n, worth in columns]
            return Rows(held.observed_at, list(map(encode, cells)))

        rows = product.market.rows("oi", listing.listed, product.market.open_interest(listing.listed), render)
        tick = rows.array(rows.span(ask, None, ask.now, size, newest=True), descending=True)
        return b'{"symbol":"%s","contract_code":"%s","tick":%s}' % (
            listing.listed.encode(),
            f"{listing.listed}-{product.quote}".encode(),
            tick,
        )

    @staticmethod
    def _size(ask: Ask, default: int, most: int) -> int:
        size = ask.integer("size") or default
        if not 1 <= size <= most:
            raise ValueError("size")
        return size

    def _klines(self, ask: Ask, product: Product) -> bytes:
        if ask.query.get("period") != "60min":
            raise ValueError("period (the emulator keeps 60min)")
        listing, start, end = self._listing(ask, product), ask.integer("from"), ask.integer("to")
        if "size" in ask.query:
            start = end = None

        def render(bars: Candles) -> Rows:
            volumes = product.contracts(bars.volume, bars.quote_volume, listing.base).tolist()
            names = ["id", "open", "high", "low", "close", "vol", "amount"]
            prices = (bars.opened_at // 1000, bars.open, bars.high, bars.low, bars.close)
            columns = [*(x.tolist() for x in prices), volumes, (bars.volume * SIDES).tolist()]
            if product.quote == "USDT":
                names, columns = [*names, "trade_turnover"], [*columns, (bars.quote_volume * SIDES).tolist()]
            return Rows(bars.opened_at, [encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)])

        rows = product.market.rows("klines", listing.listed, product.market.candles(listing.listed, "trade"), render)
        over, size = ask.now - MS_HOUR, self._size(ask, 150, 2000) if start is None else 2000
        until = over if end is None else min(end * 1000, over)
        return rows.array(rows.span(ask, None if start is None else start * 1000, until, size, newest=start is None))

    def _marks(self, ask: Ask, product: Product) -> bytes:
        if ask.query.get("period") != "60min":
            raise ValueError("period (the emulator keeps 60min)")
        listing, size = self._listing(ask, product), self._size(ask, 150, 2000)

        def render(bars: Candles) -> Rows:
            columns = ((bars.opened_at // 1000).tolist(), *(text(x) for x in (bars.open, bars.high, bars.low, bars.close)))
            names = ("id", "open", "high", "low", "close")
            zeros = dict.fromkeys(("vol", "amount", "count", "trade_turnover"), "0")
            cells = [dict(zip(names, row, strict=True)) | zeros for row in zip(*columns, strict=True)]
            return Rows(bars.opened_at, list(map(encode, cells)))

        rows = product.market.rows("marks", listing.listed, product.market.candles(listing.listed, "mark"), render)
        return rows.array(rows.span(ask, None, ask.now - MS_HOUR, size, newest=True))


VENUE = Htx
